"""Which runs an operation is about."""

from __future__ import annotations

from django_jobqueue.conf import get_config
from django_jobqueue.models import Run, RunQuerySet
from django_jobqueue.payloads import MAX_INTEGER


def all_runs(among: RunQuerySet | None = None) -> RunQuerySet:
    """All runs of this namespace, in the database that holds them; or those of *among*, in no order and whole."""
    config = get_config()
    runs = Run.objects.all() if among is None else among.order_by().defer(None)
    return runs.using(config.database).filter(namespace=config.namespace)


def run_by_id(run_id: object) -> RunQuerySet:
    """The run of this id, as a QuerySet; empty for anything that is no id."""
    number = parsed_id(run_id)
    return all_runs().none() if number is None else all_runs().filter(pk=number)


def parsed_id(run_id: object) -> int | None:
    """The id that *run_id* is, as a number or as text; None where it can be none."""
    if isinstance(run_id, str) and run_id.isascii() and run_id.isdigit() and len(run_id) < 20:
        run_id = int(run_id)
    if isinstance(run_id, bool) or not isinstance(run_id, int) or not 0 < run_id <= MAX_INTEGER:
        return None
    return int(run_id)
