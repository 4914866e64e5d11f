"""Cancelling many runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db.models import Count, Q

from django_jobqueue.errors import InvalidArgument
from django_jobqueue.models import Run
from django_jobqueue.operations.activities import Actor, Chronicle, author
from django_jobqueue.operations.announcements import TO_CANCEL, announce_cancelled
from django_jobqueue.operations.batches import check_many, described, in_batches, untold
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.run_filter import LIVE, RunFilter, check_standings
from django_jobqueue.operations.selection import all_runs
from django_jobqueue.signals import RunCancelled
from django_jobqueue.states import State
from django_jobqueue.transports.publisher import publish_on_commit


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelledMany:
    """What came of cancelling many runs."""

    cancelled: int = 0
    asked: int = 0
    """Running ones, which are asked to cancel."""
    more: bool = False
    """Whether it stopped at the limit, so that there may be more."""
    dry_run: bool = False
    """Whether they were only counted."""


@operation("jobs.cancel_many", auth=Auth.ADMIN, emits=[RunCancelled])
def cancel_many(
    which: RunFilter,
    *,
    actor: Actor,
    reason: str = "",
    limit: int | None = None,
    dry_run: bool = False,
    force: bool = False,
    on_batch: Callable[[CancelledMany], object] = untold,
) -> CancelledMany:
    """Cancel those of the runs that have not ended, up to *limit*, as ``cancel`` does.

    In batches, each in a transaction of its own: when it is interrupted, the same call goes on. *on_batch* is told after each
    what came of it so far. Raises InvalidArgument or UnknownQueue.
    """
    by = author(actor, reason)
    check_many(which, limit)
    check_standings(which, LIVE, "cancelled")
    if which.reason is not None:
        raise InvalidArgument(
            f"reason: a run that has one, such as {which.reason!r}, has ended, and cannot be cancelled."
        )
    not_yet = {"cancel_forced": None} if force else {"cancel_requested_at": None}
    found = which.runs().live().filter(**not_yet)
    if dry_run:
        there = found[:limit].aggregate(pending=Count("pk", filter=Q(state=State.PENDING)), all=Count("pk"))
        pending, all_ = there["pending"], there["all"]
        return CancelledMany(cancelled=pending, asked=all_ - pending, more=all_ == limit, dry_run=True)
    detail = {"filter": described(which)} | ({"force": True} if force else {})
    cancelling = _Cancelling(Chronicle(cancel_many.key, by, queue=which.queue, detail=detail), force=force)
    more = in_batches(found.only(*TO_CANCEL), cancelling.cancel_batch, limit, lambda: on_batch(cancelling.so_far()))
    return cancelling.so_far(more=more)


class _Cancelling:
    """What is cancelled, and what is asked to, batch after batch."""

    def __init__(self, chronicle: Chronicle, *, force: bool) -> None:
        self._chronicle = chronicle
        self._force = force
        self._cancelled = 0
        self._asked = 0

    def so_far(self, *, more: bool = False) -> CancelledMany:
        """What came of it; *more*, whether it stopped at the limit."""
        return CancelledMany(cancelled=self._cancelled, asked=self._asked, more=more)

    def cancel_batch(self, runs: Sequence[Run]) -> int:
        """Cancel *runs*, which are locked, and answer how many it were."""
        pending = [run for run in runs if run.state == State.PENDING]
        self._cancelled += all_runs().filter(pk__in=[run.pk for run in pending]).cancel_pending()
        self._asked += all_runs().filter(pk__in=[run.pk for run in runs]).request_cancel(force=self._force)
        if running := {run.queue for run in runs if run.state == State.RUNNING}:
            publish_on_commit(running, cancel=True)
        announce_cancelled(pending)
        self._chronicle.write({"cancelled": self._cancelled, "asked": self._asked})
        return len(runs)
