"""The page of one schedule: what it shows, and the few queries that it takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobqueue.admin import times
from django_jobqueue.admin.activities import word
from django_jobqueue.admin.badges import badge, run_badge
from django_jobqueue.admin.schedule_form import MISFIRES, OVERLAPS
from django_jobqueue.errors import InvalidSchedule
from django_jobqueue.forecast import forecast, warnings
from django_jobqueue.jobs import registry
from django_jobqueue.models import Activity, Run, Schedule
from django_jobqueue.models.fields import as_aware
from django_jobqueue.rhythm import ClockTimes
from django_jobqueue.states import Misfire, SkipReason

SKIPS = {
    SkipReason.MISFIRE.value: gettext_lazy("no worker looked in time"),
    SkipReason.OVERLAP.value: gettext_lazy("the last run was not over"),
    SkipReason.OPERATOR.value: gettext_lazy("skipped by an operator"),
    SkipReason.VETOED.value: gettext_lazy("vetoed by on_before_add"),
    SkipReason.DUPLICATE.value: gettext_lazy("a run with the same key was there"),
    SkipReason.REFUSED.value: gettext_lazy("refused"),
}
"""Why a due time made no run."""

NEXT = 5
"""Due times that are shown in advance."""
MOST = 30
"""Rows of history."""


class Preview:
    """When a schedule will be due, and what shifts of clocks will do to it."""

    def __init__(self, schedule: Schedule, *, now: datetime) -> None:
        self.due: list[tuple[str, str, str | None]] = []
        """By the clocks of its zone, in UTC, and the shift that touches it."""
        self.warnings: list[str] = []
        try:
            rhythm = schedule.rhythm
        except InvalidSchedule as error:
            self.warnings = [str(error)]
            return
        after = max(as_aware(now), as_aware(schedule.accounted_until)) if schedule.accounted_until else as_aware(now)
        zone = rhythm.times.zone if isinstance(rhythm.times, ClockTimes) else timezone.get_current_timezone()
        for due, shift in forecast(rhythm, after, NEXT):
            self.due.append(
                (f"{due.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}", f"{due.astimezone(UTC):%H:%M:%S}", shift)
            )
        self.warnings = warnings(rhythm, after)
        if not self.due:
            self.warnings.append(_("It is not due again."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What came of one due time, or of several that made no run."""

    at: datetime
    moment: SafeString
    badge: SafeString
    run: Run | None = None
    note: str = ""


class SchedulePage:
    """What there is to say about a schedule. *runs* are those that the user may see."""

    def __init__(self, schedule: Schedule, runs: QuerySet[Any], *, secrets: bool, now: datetime) -> None:
        self._schedule = schedule
        self._runs = runs
        self._secrets = secrets
        self._now = now

    @property
    def badge(self) -> SafeString:
        return badge(self._schedule.state)

    @property
    def preview(self) -> Preview | None:
        """None, while it is not due."""
        return Preview(self._schedule, now=self._now) if self._schedule.next_run_at is not None else None

    @property
    def facts(self) -> Iterator[tuple[str, object]]:
        """Labels and values, without those that are unset."""
        schedule = self._schedule
        most = _(", %d at most") % schedule.max_catch_up if schedule.misfire == Misfire.CATCH_UP else ""
        known: list[tuple[str, object]] = [
            (_("Job"), f"{schedule.queue}.{schedule.job}"),
            (_("Due"), schedule.times),
            (_("Not before"), self._moment(schedule.starts_at)),
            (_("Not after"), self._moment(schedule.ends_at)),
            (_("Next"), self._moment(schedule.next_run_at)),
            (_("If no worker looked in time"), f"{MISFIRES.get(schedule.misfire, schedule.misfire)}{most}"),
            (_("If the last run is not over"), OVERLAPS.get(schedule.overlap, schedule.overlap)),
            (_("Priority"), schedule.priority),
            (_("Tags"), ", ".join(map(str, schedule.tags)) if schedule.tags else None),
            (_("Declared in"), schedule.origin),
            (_("Removed"), self._moment(schedule.removed_at)),
        ]
        return ((label, value) for label, value in known if value is not None)

    @property
    def overrides(self) -> list[tuple[str, object, object]]:
        """What an operator has set: its name, the value, and what is declared."""
        declared = self._schedule.declared or {}
        return [(name, value, declared.get(name)) for name, value in sorted(self._schedule.overrides.items())]

    @property
    def payload(self) -> str:
        schedule = self._schedule
        if schedule.payload_function is not None:
            return f"{schedule.payload_function}()"
        payload = schedule.payload
        if not self._secrets:
            payload = registry.secrets(schedule.queue, schedule.job).redacted(payload)
        return json.dumps(payload, indent=2, ensure_ascii=False)

    @cached_property
    def history(self) -> list[Turn]:
        """The last due times, and what came of them, the latest first."""
        runs = self._runs.filter(schedule=self._schedule.pk)
        by_due_time = runs.filter(fires_at__isnull=False).order_by("-fires_at")[:MOST]
        by_hand = runs.filter(fires_at__isnull=True).order_by("-pk")[:MOST]
        turns = [*map(self._of_run, [*by_due_time, *by_hand]), *self._skips()]
        return sorted(turns, key=lambda turn: turn.at, reverse=True)[:MOST]

    @cached_property
    def activities(self) -> list[tuple[Activity, str, SafeString]]:
        found = Activity.objects.using(self._runs.db).filter(
            namespace=self._schedule.namespace, schedule_name=self._schedule.name
        )
        return [
            (activity, word(activity), times.relative(activity.created_at, now=self._now))
            for activity in found.order_by("-created_at", "-pk")[:MOST]
        ]

    def _of_run(self, run: Run) -> Turn:
        at = run.fires_at or run.created_at
        note = _("also stands for %d missed ones") % run.missed if run.missed else ""
        if run.fires_at is None:
            note = _("fired by hand")
        shown = run_badge(run, now=self._now)
        return Turn(at=at, moment=times.absolute(at, now=self._now), badge=shown, run=run, note=note)

    def _skips(self) -> Iterator[Turn]:
        for skip in self._schedule.skips.order_by("-first_at")[:MOST]:
            note = reason = str(SKIPS.get(skip.reason, skip.reason))
            if skip.number > 1:
                since = times.exact(skip.first_at)
                note = _("%(reason)s: %(number)d due times since %(since)s") % {
                    "reason": reason,
                    "number": skip.number,
                    "since": since,
                }
            moment = times.absolute(skip.last_at, now=self._now)
            text = f"{note}: {skip.error}" if skip.error else note
            yield Turn(at=skip.last_at, moment=moment, badge=badge("skipped"), note=text)

    def _moment(self, moment: datetime | None) -> SafeString | None:
        return times.absolute(moment, now=self._now) if moment else None
