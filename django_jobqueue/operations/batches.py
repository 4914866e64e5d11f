"""Batches: what operations on many runs have in common. Each batch is a transaction, so that what is done stays done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from time import monotonic, sleep
from typing import Any

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.errors import InvalidArgument, shown
from django_jobqueue.models import Run, RunQuerySet
from django_jobqueue.operations.run_filter import RunFilter, check_names
from django_jobqueue.operations.selection import all_runs

BATCH = 200
REST = 0.1
"""After each batch, so much of its time is left to others: SQLite would let one who begins again at once starve them."""


def in_batches(
    runs: RunQuerySet, work: Callable[[list[Run]], int], limit: int | None, done: Callable[[], object]
) -> bool:
    """Give *work* all *runs*, locked, in the order of their ids, without those that are added meanwhile.

    It answers how many of a batch it has changed. Stops when these are *limit* or more; answers whether it did. Calls *done*
    when a batch is committed.
    """
    newest = all_runs().order_by("-pk").values_list("pk", flat=True).first() or 0
    position, changed = 0, 0
    while limit is None or changed < limit:
        began = monotonic()
        size = BATCH if limit is None else min(BATCH, limit - changed)
        with transaction.atomic(using=get_config().database):
            following = runs.filter(pk__gt=position, pk__lte=newest).order_by("pk")
            batch = list(following.select_for_update()[:size])
            if not batch:
                return False
            changed += work(batch)
        done()
        position = batch[-1].pk
        sleep((monotonic() - began) * REST)
    return True


def untold(so_far: object) -> None:
    """Takes what came of the batches so far, where nobody wants to know."""


def check_many(which: RunFilter, limit: object) -> None:
    """Raise InvalidArgument or UnknownQueue for what might mean all runs, or none, by mistake."""
    if not which:
        raise InvalidArgument("Say which runs: a filter without any condition would mean all of them.")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InvalidArgument(f"limit: must be a whole number of at least 1, got {shown(limit)}.")
    check_names(which)


def described(which: RunFilter) -> dict[str, Any]:
    """What is given of a filter, as an activity keeps it."""
    return {name: _plain(value) for name, value in which.given.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else list(value)
