"""Filters of runs. What they offer comes from the settings and the code, never from the table."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from django_jobqueue.admin.badges import WORDS
from django_jobqueue.conf import get_config
from django_jobqueue.jobs import registry
from django_jobqueue.models import RunQuerySet
from django_jobqueue.operations.run_filter import STANDINGS


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(word, capfirst(str(WORDS[word]))) for word in STANDINGS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        word = self.value()
        if word is None:
            return queryset
        if word not in STANDINGS or not isinstance(queryset, RunQuerySet):
            raise IncorrectLookupParameters
        return STANDINGS[word](queryset)


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
