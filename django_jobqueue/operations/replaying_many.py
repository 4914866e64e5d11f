"""Replaying many runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from django.db.models import Exists, OuterRef

from django_jobqueue.engines.base import Inserted, NewRun
from django_jobqueue.errors import DuplicateRun, JobQueueError
from django_jobqueue.models import Run
from django_jobqueue.operations.activities import Actor, Chronicle, author
from django_jobqueue.operations.at_once import work_at_once
from django_jobqueue.operations.batches import check_many, described, in_batches, untold
from django_jobqueue.operations.inserting import insert_many
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.replaying import again
from django_jobqueue.operations.run_filter import BAD_ENDS, ENDED, RunFilter, check_standings
from django_jobqueue.operations.selection import all_runs
from django_jobqueue.signals import RunEnqueued

MOST_TOLD = 10
"""Refusals that are told one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedMany:
    """What came of replaying many runs."""

    replayed: int = 0
    refused: int = 0
    """Those that cannot be added again: their job is gone, their payload does not fit any more, they were vetoed, or
    they are duplicates."""
    refusals: tuple[str, ...] = ()
    """Why, for the first of them."""
    more: bool = False
    """Whether it stopped at the limit, so that there may be more."""
    dry_run: bool = False
    """Whether they were only counted."""


@operation("jobs.replay_many", auth=Auth.ADMIN, emits=[RunEnqueued])
def replay_many(
    which: RunFilter,
    *,
    actor: Actor,
    reason: str = "",
    limit: int | None = None,
    dry_run: bool = False,
    on_batch: Callable[[ReplayedMany], object] = untold,
) -> ReplayedMany:
    """Replay those of the runs that have ended and were not replayed before, up to *limit*, as ``replay`` does.

    A filter that names no state means those that failed or were dead-lettered. In batches, each in a transaction of its
    own: when it is interrupted, or called twice, each run is replayed once. *on_batch* is told after each what came of it so
    far. Raises InvalidArgument or UnknownQueue.
    """
    by = author(actor, reason)
    check_many(which, limit)
    check_standings(which, ENDED, "replayed")
    named = _with_states(which)
    found = named.runs().ended().filter(~Exists(all_runs().filter(replay_of=OuterRef("pk"))))
    if dry_run:
        there = found[:limit].count()
        return ReplayedMany(replayed=there, more=there == limit, dry_run=True)
    replaying = _Replaying(Chronicle(replay_many.key, by, queue=which.queue, detail={"filter": described(named)}))
    more = in_batches(
        found.defer("result", "error", "progress"),
        replaying.replay_batch,
        limit,
        lambda: on_batch(replaying.so_far()),
    )
    return replaying.so_far(more=more)


class _Replaying:
    """What is replayed, and what is refused, batch after batch."""

    def __init__(self, chronicle: Chronicle) -> None:
        self._chronicle = chronicle
        self._replayed = 0
        self._refused = 0
        self._refusals: list[str] = []

    def so_far(self, *, more: bool = False) -> ReplayedMany:
        """What came of it; *more*, whether it stopped at the limit."""
        return ReplayedMany(replayed=self._replayed, refused=self._refused, refusals=tuple(self._refusals), more=more)

    def replay_batch(self, runs: Sequence[Run]) -> int:
        """Replay *runs*, which are locked, and answer how many it were."""
        refused_before = self._refused
        inserted = self._insert(self._prepared(runs))
        self._replayed += len(inserted)
        if inserted or self._refused > refused_before:
            self._chronicle.write({"replayed": self._replayed, "refused": self._refused})
        work_at_once(inserted)
        return len(inserted)

    def _prepared(self, runs: Sequence[Run]) -> list[NewRun]:
        """What to insert for *runs*, without those that others replayed before they were locked: the search did not see it."""
        done = set(all_runs().filter(replay_of__in=[run.pk for run in runs]).values_list("replay_of_id", flat=True))
        news = []
        for run in runs:
            try:
                if run.pk not in done:
                    news.append(again(run))
            except JobQueueError as error:
                self._refuse(run.pk, error)
        return news

    def _insert(self, news: Sequence[NewRun]) -> list[int]:
        """Insert *news*, and answer with their ids; those that are duplicates are refused."""
        ids = []
        for new, row in zip(news, insert_many(news) if news else (), strict=True):
            if isinstance(row, Inserted):
                ids.append(row.id)
            else:
                self._refuse(new.replay_of, DuplicateRun(new.queue, new.job, str(new.unique_key), row.id))
        return ids

    def _refuse(self, run_id: int | None, error: JobQueueError) -> None:
        self._refused += 1
        if len(self._refusals) < MOST_TOLD:
            self._refusals.append(f"Run {run_id}: {error}")


def _with_states(which: RunFilter) -> RunFilter:
    return which if which.states else replace(which, states=tuple(sorted(BAD_ENDS)))
