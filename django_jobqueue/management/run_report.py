"""All that there is to tell of one run: as a document for programs, and as text for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import Model

from django_jobqueue.durations import span
from django_jobqueue.management.output import Cell, as_table
from django_jobqueue.management.times import local, relative
from django_jobqueue.models import Activity, Attempt, Run
from django_jobqueue.operations import explain
from django_jobqueue.operations.obstacles import Obstacle
from django_jobqueue.operations.selection import all_runs
from django_jobqueue.operations.visible import Visible
from django_jobqueue.printable import printable_lines
from django_jobqueue.states import State

MOST = 50
"""Attempts and activities that are told of, the latest of each."""

COUNTERS = ["failures", "crashes", "snoozes", "releases"]

MOMENTS = {
    "added": "created_at",
    "due": "run_at",
    "fires at": "fires_at",
    "expires": "expires_at",
    "latest start": "started_at",
    "lease until": "lease_until",
    "asked to cancel": "cancel_requested_at",
    "ended": "finished_at",
}
"""In the order of a life."""

DETAILS = {
    "delivery": "delivery",
    "worker": "worker",
    "schedule": "schedule_id",
    "replay of": "replay_of_id",
    "concurrency key": "concurrency_key",
    "rate key": "rate_key",
    "unique key": "unique_key",
    "tags": "tags",
    "tenant": "tenant",
    "user": "user",
    "trace": "trace_id",
    "metadata": "metadata",
    "progress": "progress",
    "payload": "payload",
    "result": "result",
}

ATTEMPT_FIELDS = ["number", "outcome", "worker", "started_at", "finished_at", "error", "traceback"]
ACTIVITY_FIELDS = ["operation", "actor", "reason", "detail", "created_at"]

LABEL_WIDTH = max(map(len, [*MOMENTS, *DETAILS])) + 2


class RunReport:
    """The report of a run, of what is *shown* of it, as it is *now*."""

    def __init__(self, shown: Visible, *, now: datetime) -> None:
        self._shown = shown
        self._run = shown.run
        self._now = now

    @cached_property
    def obstacles(self) -> list[Obstacle]:
        """Each rule that keeps it from starting, while it is pending."""
        return explain(self._run.pk) if self._run.state == State.PENDING else []

    @cached_property
    def attempts(self) -> list[Attempt]:
        found = Attempt.objects.using(self._run._state.db).filter(run_id=self._run.pk)
        return [self._shown.attempt(each) for each in found.order_by("-number")[:MOST]]

    @cached_property
    def activities(self) -> list[Activity]:
        found = Activity.objects.using(self._run._state.db).filter(run_id=self._run.pk, namespace=self._run.namespace)
        return list(found.order_by("-created_at", "-pk")[:MOST])

    @cached_property
    def replay(self) -> Run | None:
        """The run that replays it."""
        return all_runs().filter(replay_of=self._run.pk).only("state").first()

    def document(self) -> dict[str, Any]:
        """For programs: every column of the run, and its history."""
        columns = {field.name: getattr(self._run, field.attname) for field in Run._meta.concrete_fields}
        waits_for = [{**asdict(each), "text": str(each)} for each in self.obstacles]
        return columns | {
            "standing": self._run.standing(now=self._now),
            "waits_for": self._shown.value(waits_for),
            "attempts": [_columns(each, ATTEMPT_FIELDS) for each in self.attempts],
            "replay": self.replay and self.replay.pk,
            "activities": [_columns(each, ACTIVITY_FIELDS) for each in self.activities],
        }

    def lines(self, *, tracebacks: bool = False) -> Iterator[str]:
        """For people: what is set, then tables."""
        for label, value in self._facts():
            first, *more = printable_lines(str(value)).split("\n")
            yield f"{label:<{LABEL_WIDTH}}{first}"
            yield from (f"{'':<{LABEL_WIDTH}}{line}" for line in more)
        yield from _table("attempt", self._attempt_rows(), ["outcome", "started", "took", "worker", "error"])
        yield from _table("activity", self._activity_rows(), ["when", "who", "why"])
        if tracebacks:
            yield from self._tracebacks()

    def _facts(self) -> Iterator[tuple[str, object]]:
        run = self._run
        yield "run", run.pk
        yield "job", f"{run.queue}.{run.job}" + (f" (version {run.version})" if run.version != 1 else "")
        yield "state", self._state()
        if run.state == State.PENDING:
            waits_for = "\n".join(map(str, self.obstacles)) or "Nothing: the next claim takes it."
            yield "waits for", self._shown.value(waits_for)
        yield "attempt", self._counted()
        yield "priority", run.priority
        for label, field in MOMENTS.items():
            if (moment := getattr(run, field)) is not None:
                yield label, f"{local(moment)} ({relative(moment, now=self._now)})"
        for label, field in DETAILS.items():
            if (value := getattr(run, field)) is not None:
                yield label, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if self.replay is not None:
            yield "replayed as", f"{self.replay.pk} ({self.replay.state})"
        if run.error is not None:
            yield "error", run.error

    def _state(self) -> str:
        run = self._run
        told = run.standing(now=self._now).replace("_", "-")
        if run.state == State.RUNNING and run.cancel_requested_at:
            return f"{told}: asked to cancel"
        return f"{told}: {run.reason.replace('_', ' ')}" if run.reason else told

    def _counted(self) -> str:
        run = self._run
        counted = [f"{number} {word}" for word in COUNTERS if (number := getattr(run, word))]
        most = f"at most {run.max_attempts} failures" if run.max_attempts else ""
        return ", ".join(filter(None, [str(run.attempt), *counted, most]))

    def _attempt_rows(self) -> Iterator[list[Cell]]:
        for each in self.attempts:
            took = span((each.finished_at - each.started_at).total_seconds())
            yield [each.number, each.outcome, local(each.started_at), took, each.worker, each.error]

    def _activity_rows(self) -> Iterator[list[Cell]]:
        for each in self.activities:
            yield [each.operation, local(each.created_at), each.actor, each.reason]

    def _tracebacks(self) -> Iterator[str]:
        for each in self.attempts:
            if each.traceback:
                yield from ("", f"attempt {each.number}", *printable_lines(each.traceback.rstrip()).split("\n"))


def _columns(row: Model, fields: Sequence[str]) -> dict[str, Any]:
    return {field: getattr(row, field) for field in fields}


def _table(title: str, rows: Iterable[list[Cell]], titles: list[str]) -> Iterator[str]:
    """A table after an empty line; nothing, if it has no rows."""
    if shown := list(rows):
        yield ""
        yield from as_table([title, *titles], shown)
