"""Runs: the list, the page of one run, and what can be done to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobqueue.admin.badges import run_badge
from django_jobqueue.admin.forms import ReasonForm
from django_jobqueue.admin.ids import parsed_ids
from django_jobqueue.admin.keyset import KeysetAdmin, KeysetChangeList
from django_jobqueue.admin.run_columns import SHOWN, duration, moment, name, number, standing, tries, worker_name
from django_jobqueue.admin.run_filters import JobFilter, QueueFilter, StateFilter
from django_jobqueue.admin.run_page import RunPage
from django_jobqueue.admin.verbs import CANCEL, REPLAY, Told, Verb
from django_jobqueue.models import Run
from django_jobqueue.operations.run_filter import INDEXED
from django_jobqueue.operations.visible import Visible
from django_jobqueue.states import FINAL_STATES

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
class RunAdmin(KeysetAdmin):
    list_display = [number, standing, name, tries, moment, duration, worker_name]
    list_filter = [StateFilter, QueueFilter, JobFilter]
    search_fields = ["id"]
    search_help_text = gettext_lazy("The id of a run, or several with spaces between them.")
    actions = ["replay_selected", "cancel_selected"]

    # --- The list ---

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RunChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Runs by their ids: what else might be looked for has no index."""
        words = search_term.replace(",", " ").split()
        return (queryset.filter(pk__in=parsed_ids(words)) if words else queryset), False

    # --- Replay and cancel ---

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return self.may(REPLAY.permission, request)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return self.may(CANCEL.permission, request)

    @admin.action(description=gettext_lazy("Replay selected runs"), permissions=["replay"])
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._selected(request, REPLAY)

    @admin.action(description=gettext_lazy("Cancel selected runs"), permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._selected(request, CANCEL)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **options: Any
    ) -> HttpResponse | None:
        """Take the ids that are selected, and nothing else: neither all that match, nor what is no id."""
        texts = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if len(parsed_ids(texts)) < len(texts) or request.POST.get("select_across", "0") != "0":
            self.message_user(request, _("Select runs in the list. Nothing was changed."), messages.WARNING)
            return None
        return super().response_action(request, queryset.none(), *args, **options)

    def _selected(self, request: HttpRequest, verb: Verb) -> HttpResponse | None:
        """Ask to confirm, or do it once that is confirmed."""
        found = self.get_queryset(request).filter(pk__in=parsed_ids(request.POST.getlist(ACTION_CHECKBOX_NAME)))
        runs = list(found.only(*SHOWN).order_by("pk"))
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            return self._confirmation(request, verb, runs, form, back=request.get_full_path())
        self._tell(request, self._done(request, verb, runs, form.cleaned_data["reason"]))
        return None

    def _verb_view(self, request: HttpRequest, object_id: str, verb: Verb) -> HttpResponse:
        """The page that asks to confirm a verb on one run; by POST, the verb."""
        if not self.may(verb.permission, request):
            raise PermissionDenied
        run = self.get_object(request, object_id)
        if run is None:
            return self._missing(request, object_id)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            return self._confirmation(request, verb, [run], form, back=self.url("change", run.pk))
        told = self._done(request, verb, [run], form.cleaned_data["reason"])
        self._tell(request, told)
        return HttpResponseRedirect(self.url("change", told[0].run_id))

    def replay_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._verb_view(request, object_id, REPLAY)

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._verb_view(request, object_id, CANCEL)

    def _confirmation(
        self, request: HttpRequest, verb: Verb, runs: Sequence[Run], form: ReasonForm, *, back: str
    ) -> HttpResponse:
        now = timezone.now()
        title = str(verb.title_of_one) % runs[0].pk if len(runs) == 1 else str(verb.title) % len(runs)
        return self.page(
            request,
            "confirm.html",
            title=title,
            effect=verb.effect,
            subjects=[(self.url("change", run.pk), run, run_badge(run, now=now)) for run in runs],
            form=form,
            hidden=[("action", f"{verb.name}_selected"), *((ACTION_CHECKBOX_NAME, run.pk) for run in runs)],
            button=verb.button,
            back=back,
        )

    def _done(self, request: HttpRequest, verb: Verb, runs: Sequence[Run], reason: str) -> list[Told]:
        site = self.admin_site.name
        return [verb.act(run.pk, actor=self.actor(request), reason=reason, site=site) for run in runs]

    def _tell(self, request: HttpRequest, told: Sequence[Told]) -> None:
        for done, level in [(True, messages.SUCCESS), (False, messages.WARNING)]:
            if sentences := [(item.sentence,) for item in told if item.done == done]:
                self.message_user(request, format_html_join("<br>", "{}", sentences), level)

    # --- The page of one run ---

    def get_urls(self) -> list[URLPattern]:
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path(
                f"<path:object_id>/{verb.name}/",
                self.admin_site.admin_view(view),
                name=f"{prefix}_{verb.name}",
            )
            for verb, view in [(REPLAY, self.replay_view), (CANCEL, self.cancel_view)]
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
        buttons = [
            (verb.button, self.url(verb.name, run.pk))
            for verb, sensible in [(REPLAY, ended and page.replay is None), (CANCEL, not ended)]
            if sensible and self.may(verb.permission, request)
        ]
        return self.page(request, "run/page.html", title=str(run), run=run, page=page, buttons=buttons)

    def _missing(self, request: HttpRequest, object_id: str) -> HttpResponse:
        text = _("There is no run %s. It may have been purged.") % object_id[:50]
        self.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(self.url("changelist"))
