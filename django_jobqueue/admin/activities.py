"""Activities: who did what, to which queue, run or schedule, and why."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy

from django_jobqueue.admin import times
from django_jobqueue.admin.keyset import KeysetAdmin
from django_jobqueue.models import Activity

OPERATIONS = {
    "jobs.replay": gettext_lazy("replay"),
    "jobs.replay_many": gettext_lazy("replay many"),
    "jobs.cancel": gettext_lazy("cancel"),
    "jobs.cancel_many": gettext_lazy("cancel many"),
    "jobs.reschedule": gettext_lazy("reschedule"),
    "jobs.purge": gettext_lazy("purge"),
    "queues.pause": gettext_lazy("pause"),
    "queues.resume": gettext_lazy("resume"),
    "queues.pause_job": gettext_lazy("pause job"),
    "queues.resume_job": gettext_lazy("resume job"),
    "queues.set_limit": gettext_lazy("set limit"),
    "queues.clear_limit": gettext_lazy("clear limit"),
    "jobs.schedule.create": gettext_lazy("create"),
    "jobs.schedule.edit": gettext_lazy("edit"),
    "jobs.schedule.reset": gettext_lazy("reset"),
    "jobs.schedule.delete": gettext_lazy("delete"),
    "jobs.schedule.fire_now": gettext_lazy("fire now"),
    "jobs.schedule.skip_next": gettext_lazy("skip the next"),
    "jobs.schedule.sync": gettext_lazy("declare"),
}


COUNTS = {
    "replayed": gettext_lazy("replayed"),
    "refused": gettext_lazy("refused"),
    "cancelled": gettext_lazy("cancelled"),
    "asked": gettext_lazy("asked to cancel"),
    "completed": gettext_lazy("completed"),
    "failed": gettext_lazy("failed"),
    "dead_lettered": gettext_lazy("dead-lettered"),
}
"""What an operation on many runs has counted."""


def word(activity: Activity) -> str:
    """The verb for what was done."""
    return str(OPERATIONS.get(activity.operation, activity.operation))


class OperationFilter(admin.SimpleListFilter):
    title = gettext_lazy("operation")
    parameter_name = "operation"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(key, str(word)) for key, word in OPERATIONS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(operation=self.value()) if self.value() in OPERATIONS else queryset


@admin.register(Activity)
class ActivityAdmin(KeysetAdmin):
    list_display = ["moment", "actor_name", "verb", "subject", "why"]
    list_display_links = None
    list_filter = [OperationFilter]

    @admin.display(description=gettext_lazy("when"))
    def moment(self, activity: Activity) -> str:
        return times.relative(activity.created_at, now=timezone.now())

    @admin.display(description=gettext_lazy("who"))
    def actor_name(self, activity: Activity) -> str:
        return activity.actor

    @admin.display(description=gettext_lazy("did"))
    def verb(self, activity: Activity) -> str:
        return word(activity)

    @admin.display(description=gettext_lazy("to"))
    def subject(self, activity: Activity) -> str:
        if activity.run_id is None:
            return activity.schedule_name or _of_queue(activity)
        address = reverse("admin:django_jobqueue_run_change", args=[activity.run_id], current_app=self.admin_site.name)
        return format_html('<a href="{}">run {}</a> ({})', address, activity.run_id, activity.queue)

    @admin.display(description=gettext_lazy("reason"))
    def why(self, activity: Activity) -> str | None:
        return activity.reason or None


def _of_queue(activity: Activity) -> str:
    """The queue, or the job of it, and which limit was set to what; or how many runs of which states were changed."""
    detail = activity.detail or {}
    scope = ".".join(filter(None, [activity.queue, detail.get("job")]))
    if "limit" in detail:
        value = f" = {detail['value']}" if "value" in detail else ""
        return f"{scope}: {detail['limit']}{value}"
    counts = ", ".join(f"{detail[word]} {label}" for word, label in COUNTS.items() if detail.get(word))
    return ": ".join(filter(None, [scope, counts]))
