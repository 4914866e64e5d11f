"""The page of one run: what it shows, and the few queries that it takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_jobqueue.admin import times
from django_jobqueue.admin.activities import word
from django_jobqueue.admin.badges import badge, run_badge
from django_jobqueue.models import Activity, Attempt, Run, Schedule
from django_jobqueue.operations import explain
from django_jobqueue.operations.obstacles import Obstacle
from django_jobqueue.operations.visible import Visible
from django_jobqueue.states import FINAL_STATES, State

MAX_TEXT = 50_000
"""Characters of a payload, a result or an error that the page shows."""

MAX_ATTEMPTS = 50
"""Attempts that the page shows, the latest first."""

MAX_ROWS = 50
"""Activities that the page shows."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text that may be long, cut to what a page can bear."""

    shown: str
    length: int

    @property
    def cut(self) -> bool:
        return self.length > len(self.shown)


class RunPage:
    """What there is to say about a run, and what of it is *shown* to the user. *visible* are the runs that he may see."""

    def __init__(self, shown: Visible, visible: QuerySet[Any], *, now: datetime) -> None:
        self._shown = shown
        self._run = shown.run
        self._visible = visible
        self._now = now

    @property
    def badge(self) -> SafeString:
        return run_badge(self._run, now=self._now)

    @property
    def facts(self) -> Iterator[tuple[str, object]]:
        """Labels and values, without those that are unset."""
        run = self._run
        known: list[tuple[str, object]] = [
            (_("Queue"), run.queue),
            (_("Job"), run.job),
            (_("Version"), run.version if run.version != 1 else None),
            (_("Attempt"), run.attempt),
            (_("Counted"), self._counts()),
            (_("Most attempts"), run.max_attempts),
            (_("Timeout"), None if run.timeout_seconds is None else f"{run.timeout_seconds:g} s"),
            (_("Priority"), run.priority),
            (_("Delivery"), run.delivery.replace("_", " ")),
            (_("Worker"), run.worker),
            (_("Schedule"), self._schedule()),
            (_("Concurrency key"), run.concurrency_key),
            (_("Rate key"), run.rate_key),
            (_("Unique key"), run.unique_key),
            (_("Tags"), ", ".join(map(str, run.tags)) if isinstance(run.tags, list) else run.tags),
            (_("Tenant"), run.tenant),
            (_("User"), run.user),
            (_("Trace"), run.trace_id),
        ]
        return ((label, value) for label, value in known if value is not None)

    @cached_property
    def obstacles(self) -> list[Obstacle] | None:
        """Each rule that keeps it from starting; None, if it is not pending."""
        if self._run.state != State.PENDING:
            return None
        return [replace(each, sentence=self._shown.value(each.sentence)) for each in explain(self._run.pk)]

    @property
    def moments(self) -> Iterator[tuple[str, object]]:
        run = self._run
        known = [
            (_("Added"), run.created_at),
            (_("Due"), run.run_at),
            (_("Fires at"), run.fires_at),
            (_("Expires"), run.expires_at if run.state not in FINAL_STATES else None),
            (_("Latest start"), run.started_at),
            (_("Lease until"), run.lease_until),
            (_("Asked to cancel"), run.cancel_requested_at),
            (_("Ended"), run.finished_at),
        ]
        for label, moment in known:
            if moment is not None:
                yield label, times.absolute(moment, now=self._now)

    @property
    def texts(self) -> Iterator[tuple[str, Text]]:
        """The error, and what is stored as JSON, to be read."""
        run = self._run
        if run.error is not None:
            yield _("Error"), _cut(run.error)
        yield _("Payload"), _cut(_readable(run.payload))
        for label, value in [(_("Result"), run.result), (_("Progress"), run.progress), (_("Metadata"), run.metadata)]:
            if value is not None:
                yield label, _cut(_readable(value))

    @cached_property
    def attempts(self) -> list[tuple[Attempt, SafeString, object, str]]:
        """The latest attempts, each with its outcome, its start, and how long it took."""
        history = Attempt.objects.using(self._visible.db).filter(run_id=self._run.pk).order_by("-number")
        return [
            (
                self._shown.attempt(attempt),
                badge(attempt.outcome),
                times.relative(attempt.started_at, now=self._now),
                times.between(attempt.started_at, attempt.finished_at),
            )
            for attempt in history[:MAX_ATTEMPTS]
        ]

    @property
    def earlier_attempts(self) -> int:
        """How many further attempts there may have been."""
        return self.attempts[-1][0].number - 1 if len(self.attempts) == MAX_ATTEMPTS else 0

    @cached_property
    def replay(self) -> tuple[Run, SafeString] | None:
        """The run that replays this one."""
        found = self._visible.filter(replay_of=self._run.pk).defer("payload", "result", "error", "progress", "metadata")
        replay = found.first()
        return None if replay is None else (replay, run_badge(replay, now=self._now))

    @cached_property
    def activities(self) -> list[tuple[Activity, str, SafeString]]:
        """What was done to this run: each with its verb and its time."""
        found = Activity.objects.using(self._visible.db).filter(run_id=self._run.pk, namespace=self._run.namespace)
        latest = found.order_by("-created_at", "-pk")[:MAX_ROWS]
        return [(activity, word(activity), times.absolute(activity.created_at, now=self._now)) for activity in latest]

    def _counts(self) -> str | None:
        run = self._run
        counted = [
            (run.failures, _("failures")),
            (run.crashes, _("crashes")),
            (run.snoozes, _("snoozes")),
            (run.releases, _("releases")),
        ]
        return ", ".join(f"{word}: {number}" for number, word in counted if number) or None

    def _schedule(self) -> str | None:
        if self._run.schedule_id is None:
            return None
        names = Schedule.objects.using(self._visible.db).filter(pk=self._run.schedule_id)
        return names.values_list("name", flat=True).first() or f"#{self._run.schedule_id}"


def _readable(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _cut(text: str) -> Text:
    return Text(text[:MAX_TEXT], len(text))
