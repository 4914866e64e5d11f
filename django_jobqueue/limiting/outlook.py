"""The outlook of a run: what a claim that met it now would say of it, for whoever only asks."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import Q, QuerySet

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.limiting import buckets
from django_jobqueue.limiting.limiter import Limiter
from django_jobqueue.limiting.lines import QueueLines
from django_jobqueue.limits import Allowance, Bucket, Candidate, Limit
from django_jobqueue.models import Run
from django_jobqueue.states import State

MOST_LOOKED_AT = 100
"""Of those who wait in front of a line for tokens."""


class Outlook:
    """Reads what a claim reads, without the lock: by the time that it is read, it may be over."""

    def __init__(self, run: Run) -> None:
        self._run = _candidate(run)
        self._namespace, self._queue = run.namespace, run.queue
        self._config = get_config()
        self._engine = engine_for(self._config.database)
        self.now = self._engine.now()
        self.rules = Limiter().rules(run.queue)
        self._running = self._engine.running(run.namespace, [run.queue])[run.queue]
        self._due = set(buckets.due(run.namespace, run.queue, self.now)) if self.rules.rated else set()
        self.allowance = self._allowance(self._limits)
        for limit in self._due.intersection(self._limits):
            bucket = self.allowance.buckets[limit]
            bucket.count(self._takers(limit, bucket.whole_tokens))

    @property
    def is_seen(self) -> bool:
        """Whether the next claim looks at it: it is parked nowhere, or in a line for tokens to which one has come."""
        line = self._run.line
        return line is None or (line in self._due and self.rules.rate(line) is not None)

    @property
    def holders(self) -> list[Limit]:
        """All limits that hold it."""
        return [limit for limit in self._limits if self.allowance.holds(limit, self._run)]

    def bucket(self, limit: Limit) -> Bucket:
        """The bucket of a rate limit of the run."""
        return self.allowance.buckets[limit]

    def most(self, limit: Limit | None) -> int | None:
        """How many runs a job or a key, or the queue as a whole, lets run at once."""
        return self.rules.queue.concurrent_jobs if limit is None else self.rules.most(limit)

    def head(self, limit: Limit) -> int | None:
        """The run whose turn it is, of a key that keeps its order."""
        return self.allowance.heads.get(limit)

    def token_at(self, limit: Limit) -> datetime:
        """When it gets its token, if it stands in the line of that rate and nobody comes to stand before it."""
        priority, run_at, run_id = self._run.priority, self._run.run_at, self._run.id
        earlier = Q(run_at__lt=run_at) | Q(run_at=run_at, pk__lt=run_id)
        before = self._waiting(limit).filter(Q(priority__gt=priority) | Q(earlier, priority=priority))
        return self.bucket(limit).next_behind(before.count())

    def running(self, limit: Limit | None) -> QuerySet[Run]:
        """The runs that take the slots of a job or of a key, or of the queue as a whole; the longest running first."""
        runs = Run.objects.using(self._config.database).filter(
            namespace=self._namespace, queue=self._queue, state=State.RUNNING
        )
        if limit is not None:
            runs = (
                runs.filter(job__in=self.rules.names(limit.job))
                if limit.job
                else runs.exclude(job__in=self.rules.own_keys)
            )
        if limit is not None and limit.key is not None:
            runs = runs.filter(concurrency_key=limit.key)
        return runs.order_by("started_at", "pk")

    @property
    def _limits(self) -> list[Limit]:
        """All that can hold it; also the line for tokens in which it stands, though they are not its own any more."""
        limits, line = list(self.rules.limits(self._run)), self._run.line
        stands = self._run.waits_for_token and not self.is_seen
        if stands and line is not None and line not in limits and self.rules.has(line):
            limits.append(line)
        return limits

    def _allowance(self, limits: Collection[Limit]) -> Allowance:
        """The allowance, which knows the buckets of *limits* and the order of their keys, as that of a claim does."""
        allowance = Allowance(self.rules, self._running)
        rates = [limit for limit in limits if limit.kind == "rate"]
        allowance.buckets = buckets.load(self._namespace, self._queue, self.rules, rates, self.now)
        lines = QueueLines(self._engine, self._namespace, self._queue, self.rules)
        allowance.heads = lines.heads([limit for limit in limits if self.rules.keeps_order(limit)])
        return allowance

    def _takers(self, line: Limit, tokens: int) -> int:
        """How many wait in *line* for its *tokens*, and one more; but for those in front whom something else holds."""
        waiting = self._waiting(line).order_by("-priority", "run_at", "pk")[: 1 + tokens]
        first = list(map(_candidate, waiting[:MOST_LOOKED_AT]))
        allowance = self._allowance({limit for run in first for limit in self.rules.limits(run)})
        return waiting.count() - sum(allowance.admit(run) not in {None, line} for run in first)

    def _waiting(self, line: Limit) -> QuerySet[Run]:
        """Those who wait in *line*."""
        return Run.objects.using(self._config.database).filter(
            Q(expires_at=None) | Q(expires_at__gt=self.now),
            namespace=self._namespace,
            queue=self._queue,
            state=State.PENDING,
            blocked_on=str(line),
        )


def _candidate(run: Run) -> Candidate:
    """A run as a claim looks at it."""
    return Candidate(run.pk, run.priority, run.run_at, run.job, run.concurrency_key, run.rate_key, run.blocked_on)
