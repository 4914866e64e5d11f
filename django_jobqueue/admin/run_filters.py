"""Filters of runs. What they offer comes from the settings and the code, never from the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from django_jobqueue.admin.badges import WORDS
from django_jobqueue.conf import get_config
from django_jobqueue.jobs import registry
from django_jobqueue.models import RunQuerySet
from django_jobqueue.states import State

# SQLite takes the partial index only where its condition stands here literally.
ENDED_BADLY = RawSQL("jobqueue_run.state IN ('failed', 'dead_lettered')", [], output_field=BooleanField())

STATES: dict[str, Callable[[RunQuerySet], RunQuerySet]] = {
    "pending": lambda runs: runs.in_state(State.PENDING),
    "due": RunQuerySet.due,
    "scheduled": RunQuerySet.scheduled,
    "retrying": RunQuerySet.retrying,
    "running": lambda runs: runs.in_state(State.RUNNING),
    "completed": lambda runs: runs.in_state(State.COMPLETED),
    "failed": lambda runs: runs.filter(ENDED_BADLY).in_state(State.FAILED),
    "dead_lettered": lambda runs: runs.filter(ENDED_BADLY).in_state(State.DEAD_LETTERED),
    "cancelled": lambda runs: runs.in_state(State.CANCELLED),
}

INDEXED = {"running", "failed", "dead_lettered"}
"""The states whose runs an index finds, however few of them there are."""


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(word, capfirst(str(WORDS[word]))) for word in STATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        word = self.value()
        if word is None:
            return queryset
        if word not in STATES or not isinstance(queryset, RunQuerySet):
            raise IncorrectLookupParameters
        return STATES[word](queryset)


class QueueFilter(admin.SimpleListFilter):
    title = _("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in get_config().queues]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = _name(self.value())
        return queryset if name is None else queryset.filter(queue=name)


class JobFilter(admin.SimpleListFilter):
    title = _("job")
    parameter_name = "job"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The jobs of the queue that is chosen, or of all."""
        queues = get_config().queues
        chosen = request.GET.get(QueueFilter.parameter_name)
        names = {name for queue in queues if chosen in {None, queue} for name in registry.names(queue)}
        return [(name, name) for name in sorted(names)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = _name(self.value())
        return queryset if name is None else queryset.filter(job=name)


def _name(given: str | None) -> str | None:
    """The name that is asked for. A queue or job that is declared no more may still have runs."""
    if given is not None and "\0" in given:  # a database may refuse it
        raise IncorrectLookupParameters
    return given
