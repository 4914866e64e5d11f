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
    "jobs.cancel": gettext_lazy("cancel"),
    "queues.pause": gettext_lazy("pause"),
    "queues.resume": gettext_lazy("resume"),
    "queues.pause_job": gettext_lazy("pause job"),
    "queues.resume_job": gettext_lazy("resume job"),
    "queues.set_limit": gettext_lazy("set limit"),
    "queues.clear_limit": gettext_lazy("clear limit"),
    "jobs.schedule.create": gettext_lazy("create"),
    "jobs.schedule.edit": gettext_lazy("edit"),
    "jobs.schedule.toggle": gettext_lazy("enable or disable"),
    "jobs.schedule.reset": gettext_lazy("reset"),
    "jobs.schedule.delete": gettext_lazy("delete"),
    "jobs.schedule.fire_now": gettext_lazy("fire now"),
    "jobs.schedule.skip_next": gettext_lazy("skip the next"),
    "jobs.schedule.sync": gettext_lazy("declare"),
}


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
            return activity.schedule_name or activity.queue or ""
        address = reverse("admin:django_jobqueue_run_change", args=[activity.run_id], current_app=self.admin_site.name)
        return format_html('<a href="{}">run {}</a> ({})', address, activity.run_id, activity.queue)

    @admin.display(description=gettext_lazy("reason"))
    def why(self, activity: Activity) -> str | None:
        return activity.reason or None
