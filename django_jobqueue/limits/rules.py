"""The rules of a queue and its jobs, and which of them concern a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from django_jobqueue.limits.limit import Candidate, Limit
from django_jobqueue.limits.rate import Rate
from django_jobqueue.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds in one scope: in a queue as a whole, or in one job of it. None is no limit."""

    concurrent_jobs: int | None = None
    concurrent_jobs_per_key: int | None = None
    keep_order: bool = False
    rate: Rate | None = None
    rate_per_key: bool = field(default=True, compare=False)
    """Whether each rate key has a bucket of its own; runs without one share theirs. Says nothing where there is no rate."""
    paused: bool = False
    operated: bool = False
    """Whether operators have set a limit, be it the declared one: claims that do not ask for it find nothing then."""


@dataclass(frozen=True, slots=True)
class QueueRules:
    """The rules of one queue and of its jobs."""

    queue: Rules = field(default_factory=Rules)
    jobs: Mapping[str, Rules] = field(default_factory=dict)
    """Of those jobs that have rules of their own."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """The names of jobs, each by a name that the job had before, and that runs may still have."""

    @property
    def limited(self) -> bool:
        """Whether anything is limited at all."""
        return self.queue != NO_RULES or bool(self.jobs)

    @property
    def park(self) -> bool:
        """Whether runs can be parked; otherwise the queue is limited only as a whole."""
        return bool(self.jobs) or self.queue.concurrent_jobs_per_key is not None or self.queue.rate is not None

    @property
    def rated(self) -> bool:
        return any(rules.rate is not None for rules in (self.queue, *self.jobs.values()))

    @property
    def ordered(self) -> bool:
        return any(rules.keep_order for rules in (self.queue, *self.jobs.values()))

    @property
    def own_keys(self) -> list[str]:
        """The jobs whose keys count by themselves, by all their names."""
        own = [job for job, rules in self.jobs.items() if rules.concurrent_jobs_per_key is not None]
        return [name for job in own for name in self.names(job)]

    def job_of(self, name: str) -> str:
        """The name of the job that has that *name*, or had it before."""
        return self.renamed.get(name, name)

    def of_job(self, name: str) -> Rules:
        """The rules of the job that has that *name*, or had it before, itself."""
        return self.jobs.get(self.job_of(name), NO_RULES)

    def names(self, job: str) -> list[str]:
        """The name of a job, and those that it had before."""
        return [job, *(name for name, now in self.renamed.items() if now == job)]

    def limits(self, run: Candidate) -> Iterator[Limit]:
        """All that can hold *run* back, in the order in which it is asked."""
        name, job = self.job_of(run.job), self.of_job(run.job)
        if job.paused:
            yield Limit("pause", name)
        if (key := self.key(name, run.concurrency_key)) is not None:
            yield key
        if job.concurrent_jobs is not None:
            yield Limit("job", name)
        if job.rate is not None:
            yield Limit("rate", name, run.rate_key)
        if self.queue.rate is not None:
            yield Limit("rate", "", run.rate_key if self.queue.rate_per_key else None)

    def key(self, job: str, key: str | None) -> Limit | None:
        """The limit of a concurrency key: in its job, if that limits keys itself, else in the queue."""
        if key is None:
            return None
        if self.of_job(job).concurrent_jobs_per_key is not None:
            return Limit("key", self.job_of(job), key)
        return None if self.queue.concurrent_jobs_per_key is None else Limit("key", "", key)

    def most(self, limit: Limit) -> int | None:
        """How many runs the limit of a key or of a job lets run at once; None, if there is no such limit (any more)."""
        rules = self._of(limit)
        return rules.concurrent_jobs_per_key if limit.kind == "key" else rules.concurrent_jobs

    def rate(self, limit: Limit) -> Rate | None:
        return self._of(limit).rate

    def has(self, limit: Limit) -> bool:
        """Whether there still is such a limit."""
        match limit.kind:
            case "pause":
                return self._of(limit).paused
            case "rate":
                return self.rate(limit) is not None
            case _:
                return self.most(limit) is not None

    def keeps_order(self, limit: Limit) -> bool:
        return limit.kind == "key" and self._of(limit).keep_order

    def freed(self, job: str, key: str | None, state: State) -> Iterator[Limit]:
        """The limits that get a slot back when an attempt of that job and key ends, and leaves its run in *state*.

        Where the order is kept, a run that is to be tried again keeps the slot of its key.
        """
        limit = self.key(job, key)
        if limit is not None and not (self.keeps_order(limit) and state == State.PENDING):
            yield limit
        if self.of_job(job).concurrent_jobs is not None:
            yield Limit("job", self.job_of(job))

    def spelled(self, limits: Iterable[Limit]) -> list[Limit]:
        """*Limits* of jobs as the runs spell them: once by each name of the job."""
        return [limit._replace(job=name) for limit in limits for name in self.names(limit.job)]

    def _of(self, limit: Limit) -> Rules:
        return self.jobs.get(limit.job, NO_RULES) if limit.job else self.queue


NO_RULES = Rules()
