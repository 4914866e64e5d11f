"""The allowance: what is left of the limits, and so who may start beside what is running."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from django_jobqueue.limits.limit import Candidate, Limit
from django_jobqueue.limits.rate import Bucket
from django_jobqueue.limits.rules import QueueRules


class Allowance:
    """What is running in one queue, and what is left of its limits. It is true only under the lock of the queue."""

    def __init__(self, rules: QueueRules, running: Iterable[tuple[str, str | None, int]]) -> None:
        self.rules = rules
        self.buckets: dict[Limit, Bucket] = {}
        """Of every rate limit of the runs that are to be admitted; refilled."""
        self.heads: dict[Limit, int] = {}
        """The earliest run that has not ended, of every key that keeps its order."""
        self._limits: dict[tuple[str, str | None, str | None], list[Limit]] = {}
        self._running = 0
        self._taken: Counter[Limit] = Counter()
        for job, key, number in running:
            self._running += number
            self._taken[Limit("job", rules.job_of(job))] += number
            if (limit := rules.key(job, key)) is not None:
                self._taken[limit] += number

    @property
    def room(self) -> int | None:
        """How many more runs the queue as a whole lets run; None: no limit."""
        most = self.rules.queue.concurrent_jobs
        return None if most is None else most - self._running

    def limits(self, run: Candidate) -> list[Limit]:
        """All that can hold *run* back, in the order in which it is asked."""
        alike = run.job, run.concurrency_key, run.rate_key
        if alike not in self._limits:
            self._limits[alike] = list(self.rules.limits(run))
        return self._limits[alike]

    def free(self, limit: Limit) -> int | None:
        """How many more a key or a job lets run; None: no limit."""
        most = self.rules.most(limit)
        return None if most is None else most - self._taken[limit]

    def left(self, limit: Limit) -> int:
        """How many of those who wait in the line of *limit* it would let start now."""
        if limit.kind == "rate":
            bucket = self.buckets.get(limit)
            return 0 if bucket is None else min(bucket.whole_tokens, bucket.waiting)
        return max(0, self.free(limit) or 0)

    def taken(self, limit: Limit) -> int:
        """How many slots of a key or a job are taken."""
        return self._taken[limit]

    def vacant(self, limit: Limit, batch: int) -> int:
        """How many may leave the line of *limit*: as many as have a slot, or a *batch* if it holds nobody any more."""
        if not self.rules.has(limit):
            return batch
        return self.left(limit) if limit.kind in {"key", "job"} else 0

    def admit(self, run: Candidate) -> Limit | None:
        """Let *run* start, which takes its slots and tokens; or answer with the first limit that holds it."""
        limits = self.limits(run)
        for holder in limits:
            if self.holds(holder, run):
                if holder.kind == "job":
                    # It keeps the slot of its key meanwhile, so that the next one of the key waits for the key and not here.
                    self._take(limit for limit in limits if limit.kind == "key" and holder.covers(limit))
                return holder
        self._running += 1
        self._take(limits)
        return None

    def holds(self, limit: Limit, run: Candidate) -> bool:
        """Whether *limit*, one of those of *run*, holds it."""
        match limit.kind:
            case "pause":
                return True
            case "rate":
                bucket = self.buckets[limit]
                before = 0 if run.waits_for_token else bucket.waiting
                return bucket.whole_tokens <= before
            case _:
                early = self.rules.keeps_order(limit) and self.heads.get(limit, run.id) != run.id
                return early or (self.free(limit) or 0) <= 0

    def is_easy(self, run: Candidate) -> bool:
        """Whether its queue and its job have half of their slots left.

        Only then may a worker claim it ahead of its own slots: others might start it now.
        """
        of_queue, of_job = self.rules.queue.concurrent_jobs, self.rules.of_job(run.job).concurrent_jobs
        if of_queue is not None and 2 * self._running >= of_queue:
            return False
        return of_job is None or 2 * self._taken[Limit("job", self.rules.job_of(run.job))] < of_job

    def passed_by(self, run: Candidate, holder: Limit) -> Iterator[Limit]:
        """The limits that have a slot or a token which *run*, held by another, will not take; someone in their lines may."""
        for limit in self.limits(run):
            if limit.kind in {"key", "job"} and not holder.covers(limit) and self.left(limit) > 0:
                yield limit
        if run.waits_for_token and (line := run.line) is not None and line != holder and self.left(line) > 0:
            yield line

    def _take(self, limits: Iterable[Limit]) -> None:
        for limit in limits:
            if limit.kind == "rate":
                self.buckets[limit].take()
            else:
                self._taken[limit] += 1
