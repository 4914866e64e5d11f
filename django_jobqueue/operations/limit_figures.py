"""Limits as they are now: what is declared, what operators have set over it, and how far each is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import JobQueueError
from django_jobqueue.jobs import registry
from django_jobqueue.limiting import buckets
from django_jobqueue.limiting.rules import declared_rules, operated_rules, states
from django_jobqueue.limits import NO_RULES, Bucket, Limit, Rules
from django_jobqueue.models import QueueState, Run
from django_jobqueue.operations.limits import LIMIT_OPTIONS
from django_jobqueue.operations.pauses import Pause, pauses
from django_jobqueue.operations.queues import known_queue
from django_jobqueue.states import State

MOST_PARKED = 1000
"""Parked runs of a job, or of a key, that are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A queue as a whole, or one job of it."""

    job: str
    """Empty for the queue as a whole."""
    declared: Rules
    now: Rules
    set_until: Mapping[str, datetime | None]
    """The limits that operators have set, each with its end."""
    pause: Pause | None
    tokens: Bucket | None
    """Of its rate; None where there is none, or where each key has its own."""
    running: int
    parked: int
    """How many wait for a limit or a pause; at most so many as are counted."""


def limit_figures(queue: str) -> list[Scope]:
    """The queue as a whole, and each of its jobs. Raises UnknownQueue."""
    config = known_queue(queue)
    engine = engine_for(config.database)
    now, names = engine.now(), ["", *registry.names(queue)]
    declared = declared_rules(queue)
    rows = states(config.namespace, queue, declared)
    operated = operated_rules(declared, rows, now=now)
    running: Counter[str] = Counter()
    for job, _key, number in engine.running(config.namespace, [queue])[queue]:
        running[declared.job_of(job)] += number
        running[""] += number
    rates = [Limit("rate", name) for name in names if not _has_rate_key(queue, name)]
    tokens = buckets.load(config.namespace, queue, operated, rates, now)
    paused, parked = pauses([queue], now=now), {name: _parked(queue, declared.names(name)) for name in names if name}
    parked[""] = sum(parked.values())
    return [
        Scope(
            job=name,
            declared=declared.jobs.get(name, NO_RULES) if name else declared.queue,
            now=operated.jobs.get(name, NO_RULES) if name else operated.queue,
            set_until=_set_until((row for row in rows if declared.job_of(row.job) == name), now),
            pause=paused.get((queue, name)),
            tokens=tokens.get(Limit("rate", name)),
            running=running[name],
            parked=parked[name],
        )
        for name in names
    ]


class SetLimit(NamedTuple):
    """A limit that operators have set."""

    job: str
    """Empty for the queue as a whole."""
    limit: str
    value: int | str
    until: datetime | None


def operated_limits(queues: Collection[str], *, now: datetime) -> dict[str, list[SetLimit]]:
    """The limits that operators have set for *queues* and their jobs, and that have not ended."""
    config = get_config()
    rows = QueueState.objects.using(config.database).filter(namespace=config.namespace, queue__in=queues)
    found: dict[str, list[SetLimit]] = {queue: [] for queue in queues}
    for row in rows.order_by("queue", "job"):
        job = declared_rules(row.queue).job_of(row.job)
        ends = _set_until([row], now)
        found[row.queue] += [SetLimit(job, limit, getattr(row, limit), until) for limit, until in ends.items()]
    return found


def _has_rate_key(queue: str, job: str) -> bool:
    """Whether each run of that job, or of the queue as a whole, has a rate key by declaration."""
    if not job:
        return "rate_key" in get_config().queues[queue].job_defaults
    try:
        return registry.get(queue, job).options.rate_key is not None
    except JobQueueError:
        return False


def _parked(queue: str, names: Sequence[str]) -> int:
    config = get_config()
    parked = Run.objects.using(config.database).filter(
        namespace=config.namespace, queue=queue, state=State.PENDING, blocked_on__isnull=False, job__in=names
    )
    return parked[:MOST_PARKED].count()


def _set_until(rows: Iterable[QueueState], now: datetime) -> dict[str, datetime | None]:
    """The limits that the *rows* of one scope set, each with its end."""
    ends = {}
    for row in rows:
        for option in LIMIT_OPTIONS:
            until = getattr(row, f"{option}_until")
            if getattr(row, option) is not None and (until is None or until > now):
                ends[option] = until
    return ends
