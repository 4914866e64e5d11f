"""Queues: those of the settings, what waits in them, and the switch to pause them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from django_jobqueue import operations
from django_jobqueue.admin import times
from django_jobqueue.admin.badges import WORDS, badge
from django_jobqueue.admin.forms import PauseForm, ReasonForm
from django_jobqueue.admin.queue_figures import QueueFigures, figures
from django_jobqueue.admin.queue_limits import LimitPages, check_names
from django_jobqueue.models import QueueState
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
class QueueAdmin(LimitPages):
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

    def pause_view(self, request: HttpRequest, queue: str, job: str = "") -> HttpResponse:
        """The page that asks to confirm a pause of a queue or a job; by POST, the pause."""
        self._check(request, queue, job)
        form = PauseForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            effect = _(
                "No worker starts a run of it any more. Runs that have started continue, and runs can still be added."
            )
            asked = {"title": _("Pause %s?") % _named(queue, job), "effect": effect, "button": _("Pause")}
            return self.page(request, "confirm.html", form=form, back=self._back(queue, job), **asked)
        with self.telling_refusals(request):
            how = {"actor": self.actor(request), **form.cleaned_data}
            if job:
                operations.pause_job(queue, job, **how)
            else:
                operations.pause_queue(queue, **how)
            self.message_user(request, capfirst(_("%s is paused.") % _named(queue, job)), messages.SUCCESS)
        return HttpResponseRedirect(self._back(queue, job))

    def resume_view(self, request: HttpRequest, queue: str, job: str = "") -> HttpResponse:
        """The page that asks to confirm a resume of a queue or a job; by POST, the resume."""
        self._check(request, queue, job)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            effect = _("Workers start its runs again, at once.")
            asked = {"title": _("Resume %s?") % _named(queue, job), "effect": effect, "button": _("Resume")}
            return self.page(request, "confirm.html", form=form, back=self._back(queue, job), **asked)
        with self.telling_refusals(request):
            how = {"actor": self.actor(request), **form.cleaned_data}
            if operations.resume_job(queue, job, **how) if job else operations.resume_queue(queue, **how):
                self.message_user(request, capfirst(_("%s is resumed.") % _named(queue, job)), messages.SUCCESS)
            else:
                told = _("%s was not paused. Nothing was changed.") % _named(queue, job)
                self.message_user(request, capfirst(told), messages.WARNING)
        return HttpResponseRedirect(self._back(queue, job))

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("", view(self.changelist_view), name=f"{name}_changelist"),
            path("<str:queue>/pause/", view(self.pause_view), name=f"{name}_pause"),
            path("<str:queue>/resume/", view(self.resume_view), name=f"{name}_resume"),
            path("<str:queue>/limits/", view(self.limits_view), name=f"{name}_limits"),
            path("<str:queue>/limit/", view(self.limit_view), name=f"{name}_limit"),
            path("<str:queue>/jobs/<str:job>/pause/", view(self.pause_view), name=f"{name}_pause_job"),
            path("<str:queue>/jobs/<str:job>/resume/", view(self.resume_view), name=f"{name}_resume_job"),
            path("<str:queue>/jobs/<str:job>/limit/", view(self.limit_view), name=f"{name}_limit_job"),
        ]

    def _check(self, request: HttpRequest, queue: str, job: str) -> None:
        if not self.may(PERMISSION, request):
            raise PermissionDenied
        check_names(queue, job)

    def _back(self, queue: str, job: str) -> str:
        return self.url("limits", queue) if job else self.url("changelist")


def _named(queue: str, job: str) -> str:
    return _("job %(job)s of queue %(queue)s") % {"job": job, "queue": queue} if job else _("queue %s") % queue


def _rows() -> list[QueueRow]:
    counted = figures()
    return [QueueRow(queue=queue, figures=counted[queue.config.name]) for queue in overview(now=timezone.now())]
