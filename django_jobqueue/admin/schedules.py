"""Schedules: the recurring definitions that make runs, looked at and steered."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobqueue import operations
from django_jobqueue.admin import times
from django_jobqueue.admin.badges import WORDS, badge
from django_jobqueue.admin.forms import ReasonForm
from django_jobqueue.admin.read_only import ReadOnlyAdmin
from django_jobqueue.admin.schedule_form import ScheduleForm
from django_jobqueue.admin.schedule_page import SKIPS, Preview, SchedulePage
from django_jobqueue.admin.schedule_verbs import VERBS, ScheduleVerb
from django_jobqueue.errors import JobQueueError
from django_jobqueue.models import Run, Schedule


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    list_display = ["name", "standing", "due", "job_name", "next_run", "last_outcome"]
    ordering = ["name"]
    search_fields = ["name", "job"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.may("add_schedule", request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request).annotate(run_state=F("last_run__state"))
        return found

    @admin.display(description=gettext_lazy("state"))
    def standing(self, schedule: Schedule) -> str:
        return badge(schedule.state)

    @admin.display(description=gettext_lazy("due"))
    def due(self, schedule: Schedule) -> str:
        if not schedule.overrides:
            return schedule.times
        return format_html('{} <span class="jq-note">{}</span>', schedule.times, _("overrides its declaration"))

    @admin.display(description=gettext_lazy("job"))
    def job_name(self, schedule: Schedule) -> str:
        return f"{schedule.queue}.{schedule.job}"

    @admin.display(description=gettext_lazy("next run"))
    def next_run(self, schedule: Schedule) -> str | None:
        return times.relative(schedule.next_run_at, now=timezone.now()) if schedule.next_run_at else None

    @admin.display(description=gettext_lazy("last due time"))
    def last_outcome(self, schedule: Schedule) -> str | None:
        if schedule.skip_reason is not None:
            reason = SKIPS.get(schedule.skip_reason, schedule.skip_reason)
            number = _(" (%d times)") % schedule.skipped if schedule.skipped > 1 else ""
            return _("no run: %s") % f"{reason}{number}"
        return badge(schedule.run_state) if schedule.run_state in WORDS else schedule.outcome

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, f"{self.opts.app_label}_{self.opts.model_name}"
        verbs = [
            path(f"<int:pk>/{verb.name}/", view(partial(self.verb_view, verb=verb)), name=f"{name}_{verb.name}")
            for verb in VERBS
        ]
        return [
            path("<int:pk>/edit/", view(self.edit_view), name=f"{name}_edit"),
            *verbs,
            *super().get_urls(),
        ]

    def change_view(self, request: HttpRequest, object_id: str, *_arguments: Any, **_options: Any) -> HttpResponse:
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        schedule = self._found(request, object_id)
        page = SchedulePage(
            schedule, self._runs(request), secrets=self.may("view_payload", request), now=timezone.now()
        )
        buttons = [
            (verb.button, self.url(verb.name, schedule.pk))
            for verb in VERBS
            if verb.offered(schedule) and self.may(verb.permission, request)
        ]
        if schedule.removed_at is None and self.may("change_schedule", request):
            buttons.insert(0, (_("Edit"), self.url("edit", schedule.pk)))
        return self.page(
            request, "schedule/page.html", title=schedule.name, schedule=schedule, page=page, buttons=buttons
        )

    def add_view(self, request: HttpRequest, *_arguments: Any, **_options: Any) -> HttpResponse:
        """The form of a new schedule; by POST, a preview of it, or the schedule."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ScheduleForm(request.POST if request.method == "POST" else None)
        if self._is_to_be_saved(request, form):
            try:
                made = operations.schedule_create(
                    form.cleaned_data["name"],
                    queue=form.queue,
                    job=form.job,
                    actor=self.actor(request),
                    reason=form.cleaned_data["reason"],
                    **form.options,
                )
            except JobQueueError as error:
                form.add_error(None, str(error))
            else:
                self.message_user(request, _("Schedule %s is made.") % made.name, messages.SUCCESS)
                return HttpResponseRedirect(self.url("change", made.pk))
        return self._form(request, form, title=_("New schedule"), back=self.url("changelist"))

    def edit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The form of a schedule; by POST, a preview of the changes, or the changes."""
        if not self.may("change_schedule", request):
            raise PermissionDenied
        schedule = self._found(request, pk)
        secrets = self.may("view_payload", request)
        form = ScheduleForm(request.POST if request.method == "POST" else None, schedule=schedule, secrets=secrets)
        if self._is_to_be_saved(request, form):
            try:
                operations.schedule_edit(
                    schedule.name,
                    actor=self.actor(request),
                    reason=form.cleaned_data["reason"],
                    **form.options,
                )
            except JobQueueError as error:
                form.add_error(None, str(error))
            else:
                self.message_user(request, _("Schedule %s is changed.") % schedule.name, messages.SUCCESS)
                return HttpResponseRedirect(self.url("change", schedule.pk))
        return self._form(request, form, title=_("Edit schedule %s") % schedule.name, back=self.url("change", pk))

    def verb_view(self, request: HttpRequest, pk: int, verb: ScheduleVerb) -> HttpResponse:
        """The page that asks to confirm a verb; by POST, the verb."""
        if not self.may(verb.permission, request):
            raise PermissionDenied
        schedule = self._found(request, pk)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            context = {"effect": verb.effect, "form": form, "button": verb.button, "back": self.url("change", pk)}
            return self.page(request, "confirm.html", title=str(verb.title) % schedule.name, **context)
        with self.telling_refusals(request):
            told = verb.act(schedule.name, actor=self.actor(request), reason=form.cleaned_data["reason"])
            self.message_user(request, told, messages.SUCCESS)
        there = self.get_queryset(request).filter(pk=pk).exists()
        return HttpResponseRedirect(self.url("change", pk) if there else self.url("changelist"))

    def _form(self, request: HttpRequest, form: ScheduleForm, *, title: str, back: str) -> HttpResponse:
        preview = Preview(form.draft, now=timezone.now()) if form.is_bound and form.is_valid() else None
        return self.page(request, "schedule/form.html", title=title, form=form, preview=preview, back=back)

    def _is_to_be_saved(self, request: HttpRequest, form: ScheduleForm) -> bool:
        return request.method == "POST" and form.is_valid() and "preview" not in request.POST

    def _found(self, request: HttpRequest, object_id: str | int) -> Schedule:
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = self.get_object(request, str(object_id))
        if found is None:
            raise Http404(_("There is no such schedule."))
        return found  # type: ignore[no-any-return]

    def _runs(self, request: HttpRequest) -> QuerySet[Any]:
        """The runs that the user may see."""
        runs = Run.objects.using(self.get_queryset(request).db)
        return runs.all() if request.user.has_perm(f"{self.opts.app_label}.view_run") else runs.none()
