"""What the admin can do to a schedule at the push of a button: each verb has its permission, and says what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from django_jobqueue import operations
from django_jobqueue.admin import times
from django_jobqueue.models import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleVerb:
    """One thing to do to a schedule."""

    name: str
    permission: str
    button: str | Promise
    title: str | Promise
    """For the name of a schedule."""
    effect: str | Promise
    told: str | Promise
    """What came of it: a sentence of the ``name`` of the schedule, and of what was ``done``."""
    offered: Callable[[Schedule], bool]
    """Whether it can be done to a schedule as it is."""
    operation: Callable[..., Any]
    """Called with the name, ``actor`` and ``reason``."""
    shown: Callable[[Any], object] = str
    """How the sentence shows what the operation answers."""

    def act(self, name: str, *, actor: str, reason: str) -> str:
        """Do it; answer with the sentence."""
        done = self.operation(name, actor=actor, reason=reason)
        return str(self.told) % {"name": name, "done": self.shown(done)}


VERBS = (
    ScheduleVerb(
        name="fire",
        permission="fire_schedule",
        button=gettext_lazy("Fire now"),
        title=gettext_lazy("Fire schedule %s now?"),
        effect=gettext_lazy("It makes a run at once, in addition to its due times and whatever its overlap rule."),
        told=gettext_lazy("Schedule %(name)s made run %(done)s."),
        offered=lambda schedule: schedule.removed_at is None,
        operation=operations.schedule_fire_now,
        shown=attrgetter("pk"),
    ),
    ScheduleVerb(
        name="skip",
        permission="change_schedule",
        button=gettext_lazy("Skip the next"),
        title=gettext_lazy("Skip the next due time of schedule %s?"),
        effect=gettext_lazy("Its next due time makes no run, which is recorded. The one after that does."),
        told=gettext_lazy("Schedule %(name)s makes no run for %(done)s."),
        offered=lambda schedule: schedule.next_run_at is not None,
        operation=operations.schedule_skip_next,
        shown=times.exact,
    ),
    ScheduleVerb(
        name="disable",
        permission="change_schedule",
        button=gettext_lazy("Disable"),
        title=gettext_lazy("Disable schedule %s?"),
        effect=gettext_lazy("It makes no runs until somebody enables it. What is running continues."),
        told=gettext_lazy("Schedule %(name)s is disabled."),
        offered=lambda schedule: schedule.enabled,
        operation=partial(operations.schedule_toggle, enabled=False),
    ),
    ScheduleVerb(
        name="enable",
        permission="change_schedule",
        button=gettext_lazy("Enable"),
        title=gettext_lazy("Enable schedule %s?"),
        effect=gettext_lazy("It fires at its next due time. Due times in the meantime are not made up for."),
        told=gettext_lazy("Schedule %(name)s is enabled."),
        offered=lambda schedule: not schedule.enabled and schedule.removed_at is None,
        operation=partial(operations.schedule_toggle, enabled=True),
    ),
    ScheduleVerb(
        name="reset",
        permission="change_schedule",
        button=gettext_lazy("Reset"),
        title=gettext_lazy("Reset schedule %s?"),
        effect=gettext_lazy("It goes back to what code or settings declare."),
        told=gettext_lazy("Schedule %(name)s is as declared again."),
        offered=lambda schedule: bool(schedule.overrides) and schedule.removed_at is None,
        operation=operations.schedule_reset,
    ),
    ScheduleVerb(
        name="delete",
        permission="delete_schedule",
        button=gettext_lazy("Delete"),
        title=gettext_lazy("Delete schedule %s?"),
        effect=gettext_lazy("It is gone for good, with the record of what it skipped. Its runs stay."),
        told=gettext_lazy("Schedule %(name)s is deleted."),
        offered=lambda schedule: schedule.declared is None or schedule.removed_at is not None,
        operation=operations.schedule_delete,
    ),
)
