"""Runs: the list, the page of one run, and what can be done to them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobqueue.admin.forms import ReasonForm
from django_jobqueue.admin.ids import parsed_ids, words
from django_jobqueue.admin.keyset import KeysetChangeList
from django_jobqueue.admin.run_actions import RunActions
from django_jobqueue.admin.run_columns import SHOWN, duration, moment, name, number, standing, tries, worker_name
from django_jobqueue.admin.run_filters import JobFilter, QueueFilter, StateFilter
from django_jobqueue.admin.run_page import RunPage
from django_jobqueue.admin.verbs import CANCEL, FORCE, REPLAY, Verb
from django_jobqueue.models import Run
from django_jobqueue.operations.run_filter import INDEXED
from django_jobqueue.operations.visible import Visible
from django_jobqueue.states import FINAL_STATES, State

PIECE = 100_000
"""How many ids one query may look through where no index leads to the matches."""


class RunChangeList(KeysetChangeList):
    def piece(self) -> int | None:
        return None if self.query or self._is_indexed() else PIECE

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        # An expression, where the index of the state shall lead: PostgreSQL might else walk down the primary key,
        # hoping to meet soon what may all be very old.
        return [(F("pk") * -1)] if self._is_indexed() else super().get_ordering(request, queryset)

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        return super().get_queryset(request, exclude_parameters).only(*SHOWN)

    def _is_indexed(self) -> bool:
        return self.params.get(StateFilter.parameter_name) in INDEXED


@admin.register(Run)
class RunAdmin(RunActions):
    list_display = [number, standing, name, tries, moment, duration, worker_name]
    list_filter = [StateFilter, QueueFilter, JobFilter]
    search_fields = ["id"]
    search_help_text = gettext_lazy("The id of a run, or several separated by spaces.")

    # --- The list ---

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RunChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Runs by their ids: what else might be looked for has no index."""
        found = words(search_term)
        return (queryset.filter(pk__in=parsed_ids(found)) if found else queryset), False

    # --- Replay and cancel, of one run ---

    def _verb_view(self, request: HttpRequest, object_id: str, verb: Verb) -> HttpResponse:
        """The page that asks to confirm a verb on one run; by POST, the verb."""
        if not self.may(verb.permission, request):
            raise PermissionDenied
        run = self.get_object(request, object_id)
        if run is None:
            return self._missing(request, object_id)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            return self.confirmation(request, verb, [run], form, back=self.url("change", run.pk))
        told = self.done(request, verb, run, form)
        self.tell(request, [told])
        return HttpResponseRedirect(self.url("change", told.run_id))

    def replay_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._verb_view(request, object_id, REPLAY)

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._verb_view(request, object_id, CANCEL)

    def force_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._verb_view(request, object_id, FORCE)

    # --- The page of one run ---

    def get_urls(self) -> list[URLPattern]:
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path(
                f"<path:object_id>/{verb.name}/",
                self.admin_site.admin_view(view),
                name=f"{prefix}_{verb.name}",
            )
            for verb, view in [(REPLAY, self.replay_view), (CANCEL, self.cancel_view), (FORCE, self.force_view)]
        ]
        return own + super().get_urls()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = self.get_object(request, object_id)
        if run is None:
            return self._missing(request, object_id)
        shown = Visible(run, secrets=self.may("view_payload", request))
        page = RunPage(shown, self.get_queryset(request), now=timezone.now())
        ended = run.state in FINAL_STATES
        verbs = [(REPLAY, ended and page.replay is None), (CANCEL, not ended), (FORCE, run.state == State.RUNNING)]
        buttons = [
            (verb.button, self.url(verb.name, run.pk))
            for verb, sensible in verbs
            if sensible and self.may(verb.permission, request)
        ]
        return self.page(request, "run/page.html", title=str(run), run=run, page=page, buttons=buttons)

    def _missing(self, request: HttpRequest, object_id: str) -> HttpResponse:
        text = _("There is no run %s. It may have been purged.") % object_id[:50]
        self.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(self.url("changelist"))
