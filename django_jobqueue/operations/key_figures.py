"""Keys that are at their limit now: those that take all their slots, and those that wait for a token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.limiting.rules import declared_rules, operated_rules, states
from django_jobqueue.limits import Allowance, Limit, QueueRules
from django_jobqueue.models import LimitBucket, Run
from django_jobqueue.operations.limit_figures import MOST_PARKED
from django_jobqueue.operations.queues import known_queue
from django_jobqueue.states import State

MOST_KEYS = 20
"""Keys that are told of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFigures:
    """One key at its limit."""

    limit: Limit
    """Of concurrency, or a rate."""
    running: int | None = None
    """How many of its runs are running, which is as many as may be; None, where it waits for a token."""
    next_at: datetime | None = None
    """When the token comes."""
    parked: int
    """How many runs wait for it; at most so many as are counted."""


def key_figures(queue: str) -> list[KeyFigures]:
    """The first of those of *queue*: busiest first, then those that wait for a token. Raises UnknownQueue."""
    config = known_queue(queue)
    now, declared = engine_for(config.database).now(), declared_rules(queue)
    rules = operated_rules(declared, states(config.namespace, queue, declared), now=now)
    return list(islice(_at_their_limit(queue, rules, now), MOST_KEYS))


def _at_their_limit(queue: str, rules: QueueRules, now: datetime) -> Iterator[KeyFigures]:
    config = get_config()
    running = engine_for(config.database).running(config.namespace, [queue])[queue]
    allowance = Allowance(rules, running)
    keys = {limit for job, key, _ in running if (limit := rules.key(job, key)) is not None}
    for limit in sorted(keys, key=lambda limit: (-allowance.taken(limit), limit)):
        if (allowance.free(limit) or 0) <= 0:
            yield KeyFigures(limit=limit, running=allowance.taken(limit), parked=_parked(queue, limit))
    waiting = LimitBucket.objects.using(config.database).filter(
        namespace=config.namespace, queue=queue, next_at__gt=now
    )
    for key, next_at in waiting.order_by("next_at").values_list("key", "next_at")[:MOST_KEYS]:
        limit = Limit.parse(key)
        if limit.key is not None and rules.has(limit):
            yield KeyFigures(limit=limit, next_at=next_at, parked=_parked(queue, limit))


def _parked(queue: str, limit: Limit) -> int:
    config = get_config()
    parked = Run.objects.using(config.database).filter(
        namespace=config.namespace, queue=queue, state=State.PENDING, blocked_on=str(limit)
    )
    return parked[:MOST_PARKED].count()
