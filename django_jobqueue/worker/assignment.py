"""Assignments: what a worker gives an executor to do."""

from __future__ import annotations

import logging
from typing import NamedTuple

from django_jobqueue.engines.base import Claim
from django_jobqueue.errors import JobQueueError
from django_jobqueue.jobs import JobDefinition, Notes, registry
from django_jobqueue.worker.leases import Lease

logger = logging.getLogger(__name__)

HARD_TIMEOUT_AFTER_SECONDS = 10.0
"""How long an attempt may go on after its timeout, where its job says nothing."""


class Assignment(NamedTuple):
    """What an attempt needs."""

    claim: Claim
    job: JobDefinition
    notes: Notes | None = None
    """What passes between the job and its worker; new where none are given."""
    lease: Lease | None = None
    """The one that the worker holds."""

    @property
    def may_begin(self) -> bool:
        """Whether the attempt was not asked to end before anybody could interrupt it, and the run is still ours."""
        return self.lease is None or not (self.lease.interrupted or self.lease.is_over)

    @property
    def timeout_seconds(self) -> float | None:
        """After which the job is told that its time is over."""
        given = self.claim.timeout_seconds
        return self.job.options.timeout_seconds if given is None else given

    @property
    def hard_timeout_seconds(self) -> float | None:
        """After which the attempt is cut off: a timeout that the run brings along moves this one too."""
        soft, options = self.timeout_seconds, self.job.options
        if soft is None:
            return None
        if options.timeout_seconds is None or options.hard_timeout_seconds is None:
            return soft + HARD_TIMEOUT_AFTER_SECONDS
        return soft + options.hard_timeout_seconds - options.timeout_seconds


def known_job(claim: Claim) -> JobDefinition | None:
    """The job of *claim*, if this release has it, in a version that it can work, and it can work at all."""
    try:
        job = registry.find(claim.queue, claim.job)
    except JobQueueError:
        logger.exception("Job %s.%s cannot work.", claim.queue, claim.job)
        return None
    return None if job is None or claim.version > job.options.version else job
