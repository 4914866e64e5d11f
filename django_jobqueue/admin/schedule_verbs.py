"""What the admin can do to a schedule at the push of a button: each verb has its permission, and says what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
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
    offered: Callable[[Schedule], bool]
    """Whether it can be done to a schedule as it is."""
    act: Callable[..., str]
    """Called with the name, ``actor`` and ``reason``; answers with a sentence."""


def _fire(name: str, *, actor: str, reason: str) -> str:
    run = operations.schedule_fire_now(name, actor=actor, reason=reason)
    return _("Schedule %(name)s made run %(run)s.") % {"name": name, "run": run.pk}


def _skip(name: str, *, actor: str, reason: str) -> str:
    due = operations.schedule_skip_next(name, actor=actor, reason=reason)
    return _("Schedule %(name)s makes no run for %(due)s.") % {"name": name, "due": times.exact(due)}


def _enable(name: str, *, actor: str, reason: str) -> str:
    operations.schedule_toggle(name, enabled=True, actor=actor, reason=reason)
    return _("Schedule %s is enabled.") % name


def _disable(name: str, *, actor: str, reason: str) -> str:
    operations.schedule_toggle(name, enabled=False, actor=actor, reason=reason)
    return _("Schedule %s is disabled.") % name


def _reset(name: str, *, actor: str, reason: str) -> str:
    operations.schedule_reset(name, actor=actor, reason=reason)
    return _("Schedule %s is as declared again.") % name


def _delete(name: str, *, actor: str, reason: str) -> str:
    operations.schedule_delete(name, actor=actor, reason=reason)
    return _("Schedule %s is deleted.") % name


VERBS = (
    ScheduleVerb(
        name="fire",
        permission="fire_schedule",
        button=gettext_lazy("Fire now"),
        title=gettext_lazy("Fire schedule %s now?"),
        effect=gettext_lazy("It makes a run at once, beside its due times and whatever its overlap rule."),
        offered=lambda schedule: schedule.removed_at is None,
        act=_fire,
    ),
    ScheduleVerb(
        name="skip",
        permission="change_schedule",
        button=gettext_lazy("Skip the next"),
        title=gettext_lazy("Skip the next due time of schedule %s?"),
        effect=gettext_lazy("Its next due time makes no run, which is recorded. The one after that does."),
        offered=lambda schedule: schedule.next_run_at is not None,
        act=_skip,
    ),
    ScheduleVerb(
        name="disable",
        permission="change_schedule",
        button=gettext_lazy("Disable"),
        title=gettext_lazy("Disable schedule %s?"),
        effect=gettext_lazy("It makes no runs until somebody enables it. What runs goes on."),
        offered=lambda schedule: schedule.enabled,
        act=_disable,
    ),
    ScheduleVerb(
        name="enable",
        permission="change_schedule",
        button=gettext_lazy("Enable"),
        title=gettext_lazy("Enable schedule %s?"),
        effect=gettext_lazy("It fires at its next due time. What went by meanwhile is not made up for."),
        offered=lambda schedule: not schedule.enabled and schedule.removed_at is None,
        act=_enable,
    ),
    ScheduleVerb(
        name="reset",
        permission="change_schedule",
        button=gettext_lazy("Reset"),
        title=gettext_lazy("Reset schedule %s?"),
        effect=gettext_lazy("It is again as code or settings declare it."),
        offered=lambda schedule: bool(schedule.overrides) and schedule.removed_at is None,
        act=_reset,
    ),
    ScheduleVerb(
        name="delete",
        permission="delete_schedule",
        button=gettext_lazy("Delete"),
        title=gettext_lazy("Delete schedule %s?"),
        effect=gettext_lazy("It is gone for good, with the record of what it skipped. Its runs stay."),
        offered=lambda schedule: schedule.declared is None or schedule.removed_at is not None,
        act=_delete,
    ),
)
