"""Replaying many runs."""

from __future__ import annotations

from collections.abc import Callable
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
from django_jobqueue.operations.run_filter import BAD_ENDS, RunFilter
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
    named = _with_states(which)
    found = named.runs().ended().filter(~Exists(all_runs().filter(replay_of=OuterRef("pk"))))
    if dry_run:
        there = found[:limit].count()
        return ReplayedMany(replayed=there, more=there == limit, dry_run=True)
    counts = {"replayed": 0, "refused": 0}
    refusals: list[str] = []
    chronicle = Chronicle(replay_many.key, by, queue=which.queue, detail={"filter": described(named)})

    def refuse(run_id: int | None, error: JobQueueError) -> None:
        counts["refused"] += 1
        if len(refusals) < MOST_TOLD:
            refusals.append(f"Run {run_id}: {error}")

    def replay_batch(runs: list[Run]) -> int:
        # Locked by now, and so safe from others; but what they have done before that, the search did not see.
        done = set(all_runs().filter(replay_of__in=[run.pk for run in runs]).values_list("replay_of_id", flat=True))
        refused_before = counts["refused"]
        news: list[NewRun] = []
        for run in runs:
            try:
                if run.pk not in done:
                    news.append(again(run))
            except JobQueueError as error:
                refuse(run.pk, error)
        inserted = _inserted(news, refuse) if news else []
        counts["replayed"] += len(inserted)
        if inserted or counts["refused"] > refused_before:
            chronicle.write(counts)
        work_at_once(inserted)
        return len(inserted)

    def so_far(more: bool = False) -> ReplayedMany:
        return ReplayedMany(replayed=counts["replayed"], refused=counts["refused"], refusals=tuple(refusals), more=more)

    return so_far(
        in_batches(found.defer("result", "error", "progress"), replay_batch, limit, lambda: on_batch(so_far()))
    )


def _with_states(which: RunFilter) -> RunFilter:
    return which if which.states else replace(which, states=tuple(sorted(BAD_ENDS)))


def _inserted(news: list[NewRun], refuse: Callable[[int | None, JobQueueError], None]) -> list[int]:
    """Insert *news*, and answer with their ids; those that are duplicates are refused."""
    ids = []
    for new, row in zip(news, insert_many(news), strict=True):
        if isinstance(row, Inserted):
            ids.append(row.id)
        else:
            refuse(new.replay_of, DuplicateRun(new.queue, new.job, str(new.unique_key), row.id))
    return ids
