"""What can be done to the runs that are selected in the list: to each of a few, or to all that match its filters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobqueue.admin.badges import run_badge
from django_jobqueue.admin.forms import ReasonForm
from django_jobqueue.admin.ids import parsed_ids, words
from django_jobqueue.admin.keyset import KeysetAdmin
from django_jobqueue.admin.run_columns import SHOWN
from django_jobqueue.admin.run_filters import JobFilter, QueueFilter, StateFilter
from django_jobqueue.admin.told import Told
from django_jobqueue.admin.verbs import CANCEL, REPLAY, Verb
from django_jobqueue.errors import JobQueueError
from django_jobqueue.models import Run, RunQuerySet
from django_jobqueue.operations import RunFilter

MOST = 10_000
"""Runs that one request changes: a browser does not wait for more."""


class RunActions(KeysetAdmin):
    """Replay and cancel, for those who may. Each asks to be confirmed, and tells what came of it."""

    actions = ["replay_selected", "cancel_selected"]

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return self.may(REPLAY.permission, request)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return self.may(CANCEL.permission, request)

    @admin.action(description=gettext_lazy("Replay selected runs"), permissions=["replay"])
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._selected(request, REPLAY, queryset)

    @admin.action(description=gettext_lazy("Cancel selected runs"), permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._selected(request, CANCEL, queryset)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **options: Any
    ) -> HttpResponse | None:
        """Take the ids that are selected, or all that match where that was asked for; never what is no id."""
        texts = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if len(parsed_ids(texts)) < len(texts):
            self.message_user(request, _("Select runs in the list. Nothing was changed."), messages.WARNING)
            return None
        return super().response_action(request, queryset, *args, **options)

    def _selected(self, request: HttpRequest, verb: Verb, matching: QuerySet[Any]) -> HttpResponse | None:
        """Ask to confirm, or do it once that is confirmed."""
        if request.POST.get("select_across", "0") != "0":
            return self._matching(request, verb, matching)
        visible = self.get_queryset(request)  # also what has left the filters meanwhile
        found = visible.filter(pk__in=parsed_ids(request.POST.getlist(ACTION_CHECKBOX_NAME)))
        runs = list(found.only(*SHOWN).order_by("pk"))
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            return self.confirmation(request, verb, runs, form, back=request.get_full_path())
        if len(runs) == 1:
            self.tell(request, [self.done(request, verb, runs[0], form)])
        elif runs:
            which = RunFilter(ids=[run.pk for run in runs], among=cast(RunQuerySet, visible))
            reason = form.cleaned_data["reason"]
            self.tell(request, verb.act_on_many(which, runs, actor=self.actor(request), reason=reason))
        return None

    def _matching(self, request: HttpRequest, verb: Verb, matching: QuerySet[Any]) -> HttpResponse | None:
        """The same for all that match the filters of the list, on whatever page."""
        actor, form = self.actor(request), ReasonForm(request.POST if "confirmed" in request.POST else None)
        try:
            which = _filter_of(request, cast(RunQuerySet, matching))
            if form.is_valid():
                reason = form.cleaned_data["reason"]
                self.tell(request, verb.act_on_many(which, None, actor=actor, reason=reason, limit=MOST))
                return None
            number = verb.number(which, actor=actor, limit=MOST)
        except JobQueueError as error:
            self.message_user(request, _("{} Nothing was changed.").format(error), messages.WARNING)
            return None
        ids = parsed_ids(request.POST.getlist(ACTION_CHECKBOX_NAME))  # without any, Django drops the answer
        title, hidden = str(verb.title) % number, [("select_across", 1), *((ACTION_CHECKBOX_NAME, id_) for id_ in ids)]
        return self._question(request, verb, title, form, back=request.get_full_path(), hidden=hidden)

    # --- What is asked, done and told ---

    def confirmation(
        self, request: HttpRequest, verb: Verb, runs: Sequence[Run], form: ReasonForm, *, back: str
    ) -> HttpResponse:
        """The page that asks whether *verb* is meant for these *runs*."""
        now = timezone.now()
        title = str(verb.title_of_one) % runs[0].pk if len(runs) == 1 else str(verb.title) % len(runs)
        hidden = [(ACTION_CHECKBOX_NAME, run.pk) for run in runs]
        subjects = [(self.url("change", run.pk), run, run_badge(run, now=now)) for run in runs]
        return self._question(request, verb, title, form, back=back, hidden=hidden, subjects=subjects)

    def _question(
        self,
        request: HttpRequest,
        verb: Verb,
        title: str,
        form: ReasonForm,
        *,
        back: str,
        hidden: list[tuple[str, int]],
        subjects: Sequence[tuple[str, Run, str]] | None = None,
    ) -> HttpResponse:
        return self.page(
            request,
            "confirm.html",
            title=title,
            effect=verb.effect,
            subjects=subjects,
            form=form,
            hidden=[("action", f"{verb.name}_selected"), *hidden],
            button=verb.button,
            back=back,
        )

    def done(self, request: HttpRequest, verb: Verb, run: Run, form: ReasonForm) -> Told:
        """Do it to one run."""
        reason = form.cleaned_data["reason"]
        return verb.act(run.pk, actor=self.actor(request), reason=reason, site=self.admin_site.name)

    def tell(self, request: HttpRequest, told: Iterable[Told]) -> None:
        told = list(told)
        for done, level in [(True, messages.SUCCESS), (False, messages.WARNING)]:
            if sentences := [(item.sentence,) for item in told if item.done == done]:
                self.message_user(request, format_html_join(mark_safe("<br>"), "{}", sentences), level)


def _filter_of(request: HttpRequest, matching: RunQuerySet) -> RunFilter:
    """What the list is filtered by, for the record; and *matching*, the runs that are to be seen in it, for safety."""
    given = request.GET
    return RunFilter(
        ids=parsed_ids(words(given.get(SEARCH_VAR, ""))),
        queue=given.get(QueueFilter.parameter_name),
        job=given.get(JobFilter.parameter_name),
        states=[given[StateFilter.parameter_name]] if StateFilter.parameter_name in given else (),
        among=matching,
    )
