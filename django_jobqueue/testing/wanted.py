"""What an assertion wants to have been added, and how it tells what there is instead."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher, ndiff
from typing import Any

from django_jobqueue.conf import get_config
from django_jobqueue.errors import nearest, shown
from django_jobqueue.jobs import JobDefinition, registry
from django_jobqueue.models import Run, RunQuerySet
from django_jobqueue.payloads import Payload
from django_jobqueue.queue import Job, Queue, queues

MOST_LISTED = 10
"""Runs that a failure lists, the latest."""


class Wanted:
    """Runs by their job, payload and columns. Raises UnknownQueue, LookupError or TypeError where there can be none."""

    def __init__(
        self,
        job: Job[..., Any] | str,
        payload: Payload | None,
        queue: Queue | str | None,
        columns: Mapping[str, Any],
    ) -> None:
        if isinstance(job, Job):
            queue = queue or job.declaration.queue
            job = job.declaration.name
        self._columns: dict[str, Any] = {"job": job, **columns}
        if queue is not None:
            self._columns["queue"] = queue.name if isinstance(queue, Queue) else queues[queue].name
        definition = self._definition()
        self._payload = None if payload is None else json.loads(definition.payload_text(payload))
        self._check_columns()

    def found(self) -> list[Run]:
        return [run for run in all_runs().filter(**self._columns) if self._payload in (None, run.payload)]

    def told(self, count: int | None) -> str:
        """What there is instead of the *count* runs that were wanted; None: at least one."""
        found = self.found()
        others = [run for run in all_runs() if run not in found]
        sections = [
            [f"Expected {_number(count)} with {self._words()}. Found {len(found) or 'none'}."],
            self._nearest(others) if not found else [],
            _listed("Found:", found),
            _listed("Others:" if found else "Added:", others),
        ]
        return "\n".join(line for section in sections for line in section)

    def _definition(self) -> JobDefinition:
        """The job. A name that does not exist must not pass for one that was not added."""
        job, queue = self._columns["job"], self._columns.get("queue")
        if queue is not None:
            return registry.get(queue, job)
        for each in queues:
            if definition := registry.find(each.name, job):
                return definition
        known = {name for each in queues for name in registry.names(each.name)}
        raise LookupError(f"{shown(job)} is not a job of any queue. {nearest(job, known)}")

    def _check_columns(self) -> None:
        fields = {"pk", *(name for field in Run._meta.concrete_fields for name in (field.name, field.attname))}
        for column in self._columns:
            if (name := column.partition("__")[0]) not in fields:
                raise TypeError(f"{name!r} is not a column of Run. {nearest(name, fields)}")

    def _words(self) -> str:
        wanted = self._columns if self._payload is None else {**self._columns, "payload": self._payload}
        return ", ".join(f"{name}={value!r}" for name, value in wanted.items())

    def _nearest(self, runs: Sequence[Run]) -> list[str]:
        if not runs:
            return ["Nothing was added."]
        run = min(runs, key=self._distance)
        lines = [f"Nearest is {_line(run)}", *self._wrong_columns(run)]
        if self._payload not in (None, run.payload):
            lines += ["    wanted payload (-), and its payload (+):"]
            lines += [f"    {line.rstrip()}" for line in ndiff(_page(self._payload), _page(run.payload))]
        return lines

    def _wrong_columns(self, run: Run) -> list[str]:
        return [
            f"    wanted {name}={value!r}, it has {getattr(run, name.partition('__')[0])!r}"
            for name, value in self._columns.items()
            if not all_runs().filter(pk=run.pk, **{name: value}).exists()
        ]

    def _distance(self, run: Run) -> tuple[int, float, int]:
        wrong = len(self._wrong_columns(run)) + (self._payload not in (None, run.payload))
        likeness = SequenceMatcher(None, _text(self._payload), _text(run.payload)).ratio()
        return wrong, -likeness, -run.pk


def all_runs() -> RunQuerySet:
    """The runs of this project, in the order of adding."""
    config = get_config()
    return Run.objects.using(config.database).filter(namespace=config.namespace).order_by("pk")


def _number(count: int | None) -> str:
    return {None: "a run", 0: "no run", 1: "one run"}.get(count, f"{count} runs")


def _listed(title: str, runs: Sequence[Run]) -> list[str]:
    if not runs:
        return []
    latest = [f"    {_line(run)}" for run in runs[-MOST_LISTED:]]
    earlier = len(runs) - len(latest)
    return [title, *([f"    ({earlier} earlier)"] if earlier else []), *latest]


def _line(run: Run) -> str:
    payload = _text(run.payload)
    return f"#{run.pk} {run.queue}.{run.job}, {run.state}: {payload if len(payload) <= 200 else f'{payload[:197]}...'}"


def _text(payload: object) -> str:
    return json.dumps(payload, ensure_ascii=False, sort_keys=True)


def _page(payload: object) -> list[str]:
    return json.dumps(payload, indent=2, ensure_ascii=False, sort_keys=True).splitlines()
