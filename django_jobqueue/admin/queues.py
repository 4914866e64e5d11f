"""Queues: those of the settings, what waits in them, and the switch to pause them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from django_jobqueue.admin import times
from django_jobqueue.admin.badges import WORDS, badge
from django_jobqueue.admin.forms import PauseForm, ReasonForm
from django_jobqueue.admin.queue_figures import QueueFigures, figures
from django_jobqueue.admin.read_only import ReadOnlyAdmin
from django_jobqueue.conf import get_config
from django_jobqueue.models import QueueState
from django_jobqueue.operations import queues as operations
from django_jobqueue.operations.overview import QueueOverview, overview

PERMISSION = "pause_queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One queue, as the list shows it."""

    queue: QueueOverview
    figures: QueueFigures

    @property
    def badge(self) -> SafeString:
        if self.queue.pause is not None:
            return badge("paused")
        return badge("working" if self.queue.workers else "idle")

    @property
    def counts(self) -> list[tuple[str, str, str]]:
        """Pending runs: the word to filter them by, its label, and how many they are."""
        figures = self.figures
        numbers = {"due": figures.due, "scheduled": figures.scheduled, "retrying": figures.retrying}
        return [(word, capfirst(str(WORDS[word])), figures.shown(number)) for word, number in numbers.items()]

    @property
    def since(self) -> str | None:
        return times.relative(self.queue.pause.since, now=timezone.now()) if self.queue.pause else None

    @property
    def until(self) -> str | None:
        until = self.queue.pause.until if self.queue.pause else None
        return times.relative(until, now=timezone.now()) if until else None


@admin.register(QueueState)
class QueueAdmin(ReadOnlyAdmin):
    """Stands at the table of what operators set, but lists the queues of the settings."""

    def changelist_view(self, request: HttpRequest, extra_context: Mapping[str, Any] | None = None) -> HttpResponse:
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.page(
            request,
            "queuestate/page.html",
            title=capfirst(str(self.opts.verbose_name_plural)),
            rows=_rows(),
            may_pause=self.may(PERMISSION, request),
            may_see_runs=request.user.has_perm(f"{self.opts.app_label}.view_run"),
            runs_url=reverse("admin:django_jobqueue_run_changelist", current_app=self.admin_site.name),
            **(extra_context or {}),
        )

    def pause_view(self, request: HttpRequest, queue: str) -> HttpResponse:
        """The page that asks to confirm a pause; by POST, the pause."""
        self._check(request, queue)
        form = PauseForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            effect = _(
                "No worker starts a run of this queue any more. Runs that have started go on, and runs can still be "
                "added: they wait."
            )
            return self._confirmation(request, _("Pause queue %s?") % queue, effect, form, _("Pause"))
        given = form.cleaned_data
        operations.pause_queue(queue, actor=self.actor(request), reason=given["reason"], until=given["until"])
        self.message_user(request, _("Queue %s is paused.") % queue, messages.SUCCESS)
        return HttpResponseRedirect(self.url("changelist"))

    def resume_view(self, request: HttpRequest, queue: str) -> HttpResponse:
        """The page that asks to confirm a resume; by POST, the resume."""
        self._check(request, queue)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            effect = _("Workers start runs of this queue again, at once.")
            return self._confirmation(request, _("Resume queue %s?") % queue, effect, form, _("Resume"))
        if operations.resume_queue(queue, actor=self.actor(request), reason=form.cleaned_data["reason"]):
            self.message_user(request, _("Queue %s is resumed.") % queue, messages.SUCCESS)
        else:
            self.message_user(request, _("Queue %s was not paused. Nothing was changed.") % queue, messages.WARNING)
        return HttpResponseRedirect(self.url("changelist"))

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("", view(self.changelist_view), name=f"{name}_changelist"),
            path("<str:queue>/pause/", view(self.pause_view), name=f"{name}_pause"),
            path("<str:queue>/resume/", view(self.resume_view), name=f"{name}_resume"),
        ]

    def _check(self, request: HttpRequest, queue: str) -> None:
        if not self.may(PERMISSION, request):
            raise PermissionDenied
        if queue not in get_config().queues:
            raise Http404(_("There is no queue of this name."))

    def _confirmation(
        self, request: HttpRequest, title: str, effect: str, form: ReasonForm, button: str
    ) -> HttpResponse:
        back = self.url("changelist")
        return self.page(request, "confirm.html", title=title, effect=effect, form=form, button=button, back=back)


def _rows() -> list[QueueRow]:
    counted = figures()
    return [QueueRow(queue=queue, figures=counted[queue.config.name]) for queue in overview(now=timezone.now())]
