"""Schedules: the recurring definitions that make runs. For reading only."""

from __future__ import annotations

from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobqueue.admin import times
from django_jobqueue.admin.read_only import ReadOnlyAdmin
from django_jobqueue.models import Schedule


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    list_display = ["name", "job_name", "rhythm", "enabled", "next_run", "last_run", "misfire", "overlap"]
    ordering = ["name"]

    @admin.display(description=gettext_lazy("job"))
    def job_name(self, schedule: Schedule) -> str:
        return f"{schedule.queue}.{schedule.job}"

    @admin.display(description=gettext_lazy("rhythm"))
    def rhythm(self, schedule: Schedule) -> str | None:
        if schedule.every_seconds is not None:
            return _("every %s") % times.span(schedule.every_seconds)
        return " ".join(filter(None, [schedule.cron, schedule.timezone])) or None

    @admin.display(description=gettext_lazy("next run"))
    def next_run(self, schedule: Schedule) -> str | None:
        return times.relative(schedule.next_run_at, now=timezone.now()) if schedule.next_run_at else None

    @admin.display(description=gettext_lazy("last run"))
    def last_run(self, schedule: Schedule) -> str | None:
        return times.relative(schedule.last_run_at, now=timezone.now()) if schedule.last_run_at else None
