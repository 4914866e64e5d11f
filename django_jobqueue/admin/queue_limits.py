"""The limits of a queue and its jobs: how far they are used, and the form to set others for a while."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_jobqueue.admin import times
from django_jobqueue.admin.badges import badge
from django_jobqueue.admin.forms import LIMIT_LABELS, LimitForm
from django_jobqueue.admin.read_only import ReadOnlyAdmin
from django_jobqueue.conf import get_config
from django_jobqueue.errors import InvalidArgument, JobQueueError
from django_jobqueue.jobs import registry
from django_jobqueue.limits import Bucket, Rules
from django_jobqueue.operations import clear_limit, set_limit
from django_jobqueue.operations.key_figures import KeyFigures, key_figures
from django_jobqueue.operations.limit_figures import MOST_PARKED, Scope, limit_figures
from django_jobqueue.operations.limits import limit_value, unkeyed

TUNE = "tune_queue"


@dataclass(frozen=True, slots=True)
class Cell:
    """One limit, as the page shows it."""

    label: str
    value: str
    declared: str | None = None
    """What the settings say, where operators say otherwise."""
    ends: SafeString | None = None
    tokens: SafeString | None = None
    """How many starts a rate has left."""


@dataclass(frozen=True, slots=True)
class ScopeRow:
    """A queue as a whole, or one job of it, as the page shows it."""

    scope: Scope

    @property
    def job(self) -> str:
        return self.scope.job

    @property
    def badge(self) -> SafeString | None:
        return badge("paused") if self.scope.pause else None

    @property
    def cells(self) -> list[Cell]:
        return [self._cell(option, str(label)) for option, label in LIMIT_LABELS.items()]

    @property
    def parked(self) -> str:
        return _parked(self.scope.parked)

    def _cell(self, option: str, label: str) -> Cell:
        scope = self.scope
        tokens = _tokens(scope.tokens) if option == "rate_limit" and scope.tokens is not None else None
        if option not in scope.set_until:
            return Cell(label, _told(scope.now, option), tokens=tokens)
        until = scope.set_until[option]
        ends = times.relative(until, now=timezone.now()) if until else None
        return Cell(label, _told(scope.now, option), _told(scope.declared, option), ends, tokens)


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key that is at its limit, as the page shows it."""

    figures: KeyFigures

    @property
    def key(self) -> str | None:
        return self.figures.limit.key

    @property
    def job(self) -> str:
        return self.figures.limit.job

    @property
    def held(self) -> SafeString | str:
        """What it has taken, or when the token comes that it waits for."""
        figures = self.figures
        if figures.next_at is not None:
            return format_html(_("no token, the next {}"), times.relative(figures.next_at, now=timezone.now()))
        return _("%s running") % number_format(figures.running or 0, force_grouping=True)

    @property
    def parked(self) -> str:
        return _parked(self.figures.parked)


class LimitPages(ReadOnlyAdmin):
    """The pages of the limits of one queue."""

    def limits_view(self, request: HttpRequest, queue: str) -> HttpResponse:
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        check_names(queue)
        return self.page(
            request,
            "queuestate/limits.html",
            title=_("Limits of queue %s") % queue,
            queue=queue,
            rows=[ScopeRow(scope) for scope in limit_figures(queue)],
            keys=[KeyRow(figures) for figures in key_figures(queue)],
            labels=LIMIT_LABELS.values(),
            may_tune=self.may(TUNE, request),
            may_pause=self.may("pause_queue", request),
            may_see_runs=request.user.has_perm(f"{self.opts.app_label}.view_run"),
            runs_url=reverse("admin:django_jobqueue_run_changelist", current_app=self.admin_site.name),
        )

    def limit_view(self, request: HttpRequest, queue: str, job: str = "") -> HttpResponse:
        """The form to set a limit of a queue or a job, or to let it be as the settings say; by POST, it is done."""
        if not self.may(TUNE, request):
            raise PermissionDenied
        check_names(queue, job)
        form = LimitForm(request.POST if request.method == "POST" else None)
        if not (form.is_valid() and self._set(request, queue, job, form)):
            title = _("Set a limit of %s") % (f"{queue}.{job}" if job else queue)
            effect = _("It takes effect at the next claim. Runs that have started continue.")
            back = self.url("limits", queue)
            return self.page(request, "confirm.html", title=title, effect=effect, form=form, button=_("Set"), back=back)
        return HttpResponseRedirect(self.url("limits", queue))

    def _set(self, request: HttpRequest, queue: str, job: str, form: LimitForm) -> bool:
        """Do what the form asks for; where that cannot be, the form says why."""
        given, actor = form.cleaned_data, self.actor(request)
        limit, text = given["limit"], given["value"].strip()
        try:
            if not text:
                clear_limit(queue, limit, job=job, actor=actor, reason=given["reason"])
            else:
                value, until = limit_value(text), given["until"]
                set_limit(queue, limit, value, job=job, actor=actor, reason=given["reason"], until=until)
        except JobQueueError as error:
            form.add_error("value" if isinstance(error, InvalidArgument) else None, str(error))
            return False
        told = _("%s is set.") if text else _("%s is as the settings say.")
        self.message_user(request, told % LIMIT_LABELS[limit], messages.SUCCESS)
        if text and (remark := unkeyed(queue, limit, job)):
            self.message_user(request, remark, messages.WARNING)
        return True


def _told(rules: Rules, option: str) -> str:
    value = rules.rate if option == "rate_limit" else getattr(rules, option)
    return "-" if value is None else str(value)


def _parked(number: int) -> str:
    """How many are parked; they are counted no further than to a limit."""
    return number_format(min(number, MOST_PARKED), force_grouping=True) + ("+" if number >= MOST_PARKED else "")


def _tokens(bucket: Bucket) -> SafeString:
    left, most = (number_format(number, force_grouping=True) for number in (bucket.whole_tokens, bucket.rate.burst))
    if bucket.grows_at is None:
        return format_html(_("{left} of {most} tokens left"), left=left, most=most)
    when = times.relative(bucket.grows_at, now=bucket.updated_at)
    return format_html(_("{left} of {most} tokens left, one more {when}"), left=left, most=most, when=when)


def check_names(queue: str, job: str = "") -> None:
    """Raise Http404 unless there is such a queue, and if given, job."""
    if queue not in get_config().queues or (job and job not in registry.names(queue)):
        raise Http404(_("There is no queue or job of this name."))
