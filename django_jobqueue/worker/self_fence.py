"""The self-fence: a worker that cannot renew its leases knows by its own clock when they are over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from django_jobqueue.engines.base import Claim
from django_jobqueue.errors import JobQueueError
from django_jobqueue.jobs import registry
from django_jobqueue.limits import NO_RULES, QueueRules
from django_jobqueue.states import Delivery
from django_jobqueue.worker.leases import Interrupt, Lease, Leases

logger = logging.getLogger(__name__)

DOUBT_LEASES = 0.8
"""After so much of a lease without a renewal it is in doubt; what must not be worked twice at a time is asked to end."""
KILL_LEASES = 0.9
"""After so much of it, the process of such a job is killed: the next look comes before the lease is over."""
END_LEASES = 2.0
"""After so many leases, any other job is asked to end: until then the database may come back, and the job go on."""


class SelfFence:
    """Asks jobs to end when nobody can say any more that their runs are ours. It needs no database.

    A renewal that comes late counts as well as one in time, as long as nobody has taken the run. So a job is not stopped
    for the first that is missed; unless it would break a promise that another one starts beside it.
    """

    def __init__(self, leases: Leases, interrupt: Interrupt, rules: Callable[[str], QueueRules]) -> None:
        """*Rules* tells the limits of a queue, without a database."""
        self._leases = leases
        self._interrupt = interrupt
        self._rules = rules
        self._told = False

    def look(self) -> None:
        """Look at all leases. To be called about every second, or more often where leases are short."""
        leases = [lease for lease in self._leases.all() if not lease.has_committed]
        if any(lease.excludes_writers for lease in leases):  # it keeps the heartbeat waiting, and all reapers too
            for lease in leases:
                lease.renewed_at = monotonic()
        doubtful = [lease for lease in leases if _missing(lease) >= DOUBT_LEASES]
        if doubtful and not self._told:
            logger.warning(
                "No heartbeat has renewed %d leases for %.1f s: whether their runs are still ours, nobody can say.",
                *(len(doubtful), max(monotonic() - lease.renewed_at for lease in doubtful)),
            )
        self._told = bool(doubtful)
        for lease in doubtful:
            if lease.doubted_at is None:
                self._judge(lease)

    def _judge(self, lease: Lease) -> None:
        """Ask the job to end, if it is time; where it has a process of its own, it ends."""
        if _is_exclusive(lease.claim, self._rules(lease.claim.queue)):
            self._ask_to_end(lease)
            lease.kill_unless_ended(by=lease.renewed_at + KILL_LEASES * lease.seconds)
        elif _missing(lease) >= END_LEASES:
            self._ask_to_end(lease)
            lease.kill_unless_ended()

    def _ask_to_end(self, lease: Lease) -> None:
        logger.warning(
            "Lease in doubt: run %d (%s.%s) could not be renewed for %.1f s in attempt %d. Its job is asked to end.",
            *(lease.claim.id, lease.claim.queue, lease.claim.job),
            *(monotonic() - lease.renewed_at, lease.claim.attempt),
        )
        lease.doubted_at = monotonic()
        lease.ask_to_end("The lease could not be renewed.", self._interrupt)


def _missing(lease: Lease) -> float:
    """For how many times its length a lease was not renewed."""
    return (monotonic() - lease.renewed_at) / lease.seconds


def _is_exclusive(claim: Claim, rules: QueueRules) -> bool:
    """Whether it was promised that nobody works beside the job of this run."""
    if claim.delivery == Delivery.AT_MOST_ONCE:
        return True
    limits = [rules.queue, rules.jobs.get(claim.job, NO_RULES)]
    if any(limit.concurrent_jobs or limit.concurrent_jobs_per_key for limit in limits):
        return True
    try:
        return registry.get(claim.queue, claim.job).options.unique == "live"
    except JobQueueError:
        return False
