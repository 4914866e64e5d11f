"""The buckets of rate limits, as rows. Read and written only under the lock of their queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db.models import QuerySet

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.limits import Bucket, Limit, QueueRules, Rate
from django_jobqueue.limits.rate import MANY
from django_jobqueue.models import LimitBucket
from django_jobqueue.models.upsert import upsert

MOST_DUE = 500
"""Lines for a token that one claim looks at."""


def load(namespace: str, queue: str, rules: QueueRules, limits: Iterable[Limit], now: datetime) -> dict[Limit, Bucket]:
    """The buckets of *limits*, with the tokens that they have *now*."""
    wanted = {str(limit): limit for limit in limits}
    if not wanted:
        return {}
    rows = _rows(namespace, queue).filter(key__in=list(wanted))
    found = {wanted[row.key]: row for row in rows}
    buckets = {}
    for limit in wanted.values():
        rate = rules.rate(limit)
        if rate is not None:
            buckets[limit] = _bucket(rate, found.get(limit), now)
    return buckets


def due(namespace: str, queue: str, now: datetime) -> list[Limit]:
    """The limits that have a token for someone who waits; if there are very many, those that have it for longest."""
    rows = _rows(namespace, queue).filter(next_at__lte=now).order_by("next_at")
    return [Limit.parse(key) for key in rows.values_list("key", flat=True)[:MOST_DUE]]


def save(namespace: str, queue: str, buckets: Mapping[Limit, Bucket]) -> None:
    """Write those that have changed."""
    changed = [_row(namespace, queue, str(limit), bucket) for limit, bucket in buckets.items() if bucket.changed]
    upsert(
        LimitBucket.objects.using(get_config().database),
        changed,
        unique_fields=["namespace", "queue", "key"],
        update_fields=["tokens", "updated_at", "next_at", "promised_at", "full_at"],
    )


def mend(namespace: str, queue: str, rules: QueueRules, lines: Iterable[Limit]) -> None:
    """See to it that a claim looks at the *lines* for tokens in time, and forget the buckets of rates that are no more.

    A rate may have changed since somebody queued up, the clock have been set back, or a row be gone.
    """
    rates = {str(line): rate for line in lines if (rate := rules.rate(line)) is not None}
    forget(namespace, queue, [line for line in lines if str(line) not in rates])
    rows = list(_rows(namespace, queue).filter(key__in=list(rates)))
    now = engine_for(get_config().database).now()  # after they were written, unless the clock was set back
    for row in rows:
        bucket = Bucket(rates[row.key], row.tokens, min(row.updated_at, now))
        if row.next_at is None or row.next_at > bucket.next_at:
            unchanged = _rows(namespace, queue).filter(pk=row.pk, updated_at=row.updated_at)
            unchanged.update(updated_at=bucket.updated_at, next_at=bucket.next_at)
    full = [_row(namespace, queue, key, Bucket.full(rate, now, waiting=MANY)) for key, rate in rates.items()]
    LimitBucket.objects.using(get_config().database).bulk_create(full, ignore_conflicts=True)


def forget(namespace: str, queue: str, limits: Iterable[Limit]) -> None:
    """Delete those of rates that are no more: in line for a token, they would stand before others for ever."""
    _rows(namespace, queue).filter(key__in=[str(limit) for limit in limits]).delete()


def forget_full() -> None:
    """Delete those that say no more than no row does."""
    config = get_config()
    full = LimitBucket.objects.using(config.database).filter(
        namespace=config.namespace, next_at=None, full_at__lte=engine_for(config.database).now()
    )
    if full.exists():
        full.delete()


def _rows(namespace: str, queue: str) -> QuerySet[LimitBucket]:
    return LimitBucket.objects.using(get_config().database).filter(namespace=namespace, queue=queue)


def _row(namespace: str, queue: str, key: str, bucket: Bucket) -> LimitBucket:
    return LimitBucket(
        namespace=namespace,
        queue=queue,
        key=key,
        tokens=bucket.tokens,
        updated_at=bucket.updated_at,
        next_at=bucket.next_at if bucket.waiting else None,
        promised_at=bucket.promised_at,
        full_at=bucket.full_at,
    )


def _bucket(rate: Rate, row: LimitBucket | None, now: datetime) -> Bucket:
    if row is None:
        return Bucket.full(rate, now)
    waiting = 0 if row.next_at is None else MANY
    bucket = Bucket(rate, row.tokens, row.updated_at, waiting, row.promised_at)
    bucket.refill(now)
    return bucket
