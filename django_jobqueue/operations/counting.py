"""Counting: how many attempts came to what. Rows are inserted minute by minute, and put together when they are old."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from time import time
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from django_jobqueue.conf import get_config
from django_jobqueue.models import Run, Stat
from django_jobqueue.states import FINAL_STATES, Outcome, State

MINUTE, HOUR, DAY = 60, 3600, 86400

STEPS = [(MINUTE, HOUR, timedelta(hours=2)), (HOUR, DAY, timedelta(days=7))]
"""Rows of so many seconds are put together to so many, when they are so old."""

CHUNK = 5000
"""Rows that one statement deletes."""


class Counted(NamedTuple):
    """What is counted together."""

    minute: int
    """Since the epoch."""
    queue: str
    job: str
    outcome: str


class Sum(NamedTuple):
    """How many, and how long they took together."""

    number: int = 0
    seconds: float = 0.0

    def plus(self, number: int, seconds: float) -> Sum:
        return Sum(self.number + number, self.seconds + seconds)


def this_minute() -> int:
    return int(time()) // MINUTE


def counted_as(outcome: Outcome, state: State) -> str:
    """The word for an attempt: the state of its run, if that has ended; else what the attempt came to."""
    return state if state in FINAL_STATES else outcome


def record_counts(counts: Mapping[Counted, Sum]) -> None:
    """Write down what was counted, in one insert."""
    config = get_config()
    Stat.objects.using(config.database).bulk_create(
        Stat(
            namespace=config.namespace,
            minute=_moment(counted.minute * MINUTE),
            queue=counted.queue,
            job=counted.job,
            outcome=counted.outcome,
            count=total.number,
            total_seconds=total.seconds,
        )
        for counted, total in counts.items()
    )


def count_cancelled(runs: Iterable[Run]) -> None:
    """Count runs that were pending and are cancelled, in the transaction that did it."""
    minute = this_minute()
    numbers = Counter(Counted(minute, run.queue, run.job, State.CANCELLED) for run in runs)
    record_counts({counted: Sum(number) for counted, number in numbers.items()})


def put_together() -> bool:
    """Put the rows of the first old hour together, or of the first old day; answer whether there was one."""
    return any(_put_together(finer, coarser, timezone.now() - age) for finer, coarser, age in STEPS)


def _put_together(finer: int, coarser: int, before: datetime) -> bool:
    config = get_config()
    rows = Stat.objects.using(config.database).filter(namespace=config.namespace)
    old = rows.filter(seconds=finer, minute__lt=before).order_by("minute").values_list("minute", flat=True).first()
    if old is None:
        return False
    begin = _moment(int(old.timestamp()) // coarser * coarser)
    end = begin + timedelta(seconds=coarser)
    if end > before:
        return False
    with transaction.atomic(using=config.database):
        # The rows that somebody else puts together are locked, and passed over: each is counted once.
        period = rows.filter(seconds__in=[finer, coarser], minute__gte=begin, minute__lt=end)
        found = list(period.select_for_update(skip_locked=True))
        sums: dict[tuple[str, str, str], Sum] = {}
        for row in found:
            key = row.queue, row.job, row.outcome
            sums[key] = sums.get(key, Sum()).plus(row.count, row.total_seconds)
        for start in range(0, len(found), CHUNK):
            rows.filter(pk__in=[row.pk for row in found[start : start + CHUNK]]).delete()
        rows.bulk_create(
            Stat(
                namespace=config.namespace,
                minute=begin,
                seconds=coarser,
                queue=queue,
                job=job,
                outcome=outcome,
                count=total.number,
                total_seconds=total.seconds,
            )
            for (queue, job, outcome), total in sums.items()
        )
    return bool(found)


def _moment(seconds: int) -> datetime:
    """The moment so many seconds after the epoch, as the columns take it."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment if settings.USE_TZ else timezone.make_naive(moment)
