"""Replaying many runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.db.models import Exists, OuterRef

from django_jobqueue.engines.base import NewRun
from django_jobqueue.errors import JobQueueError
from django_jobqueue.models import Run
from django_jobqueue.operations.activities import Actor, Chronicle, author
from django_jobqueue.operations.at_once import work_at_once
from django_jobqueue.operations.batches import check_many, described, in_batches
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.replaying import again
from django_jobqueue.operations.run_filter import BAD_ENDS, RunFilter
from django_jobqueue.operations.runs import insert_many
from django_jobqueue.operations.selection import all_runs
from django_jobqueue.signals import RunEnqueued

MOST_TOLD = 10
"""Refusals that are told one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedMany:
    """What came of replaying many runs."""

    replayed: int = 0
    refused: int = 0
    """Those that cannot be added again: their job is gone, their payload does not fit any more, or they were vetoed."""
    refusals: tuple[str, ...] = ()
    """Why, for the first of them."""
    more: bool = False
    """Whether it stopped at the limit, so that there may be more."""
    dry_run: bool = False
    """Whether they were only counted."""


@operation("jobs.replay_many", auth=Auth.ADMIN, emits=[RunEnqueued])
def replay_many(
    which: RunFilter, *, actor: Actor, reason: str = "", limit: int | None = None, dry_run: bool = False
) -> ReplayedMany:
    """Replay those of the runs that have ended and were not replayed before, up to *limit*, as ``replay`` does.

    A filter that names no state means those that failed or were dead-lettered. In batches, each in a transaction of its
    own: when it is interrupted, or called twice, each run is replayed once. Raises InvalidArgument.
    """
    by = author(actor, reason)
    check_many(which, limit)
    named = which if which.states else replace(which, states=tuple(sorted(BAD_ENDS)))
    found = named.runs().ended().filter(~Exists(all_runs().filter(replay_of=OuterRef("pk"))))
    if dry_run:
        return ReplayedMany(replayed=found.count(), dry_run=True)
    counts = {"replayed": 0, "refused": 0}
    refusals: list[str] = []
    chronicle = Chronicle(replay_many.key, by, queue=which.queue, detail={"filter": described(named)})

    def replay_batch(runs: list[Run]) -> int:
        # Locked by now, and so safe from others; but what they have done before that, the search did not see.
        done = set(all_runs().filter(replay_of__in=[run.pk for run in runs]).values_list("replay_of_id", flat=True))
        news: list[NewRun] = []
        for run in runs:
            try:
                if run.pk not in done:
                    news.append(replace(again(run), replay_of=run.pk))
            except JobQueueError as error:
                counts["refused"] += 1
                if len(refusals) < MOST_TOLD:
                    refusals.append(f"Run {run.pk}: {error}")
        if news:
            inserted = insert_many(news)
            counts["replayed"] += len(inserted)
            chronicle.write(counts)
            work_at_once([row.id for row in inserted])
        return len(news)

    more = in_batches(found.defer("result", "error", "progress"), replay_batch, limit)
    return ReplayedMany(replayed=counts["replayed"], refused=counts["refused"], refusals=tuple(refusals), more=more)
