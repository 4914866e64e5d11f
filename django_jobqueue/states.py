"""The states of a run, and the words for how it got there."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a run stands. It is stored; nothing else about its progress is.

    A run that waits for a later ``run_at``, or for its next try, is simply pending.
    """

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    DEAD_LETTERED = "dead_lettered"
    CANCELLED = "cancelled"


FINAL_STATES = frozenset({State.COMPLETED, State.FAILED, State.DEAD_LETTERED, State.CANCELLED})
"""A row in one of these never changes again."""


class Outcome(StrEnum):
    """What one attempt came to."""

    COMPLETED = "completed"
    RETRIED = "retried"
    SNOOZED = "snoozed"
    FAILED = "failed"
    DEAD_LETTERED = "dead_lettered"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    RELEASED = "released"


class Reason(StrEnum):
    """Why a run is in its final state."""

    RETURNED = "returned"
    """The job returned."""
    JOB_FAILED = "job_failed"
    """The job raised ``Fail``: it said itself that trying again is useless."""
    NOT_RETRIED = "not_retried"
    """The job raised what its ``fail_on`` names, or its ``retry_on`` does not."""
    INVALID_PAYLOAD = "invalid_payload"
    """The stored payload does not fit the job as it is now."""
    INVALID_RESULT = "invalid_result"
    """The job returned something that JSON cannot hold; a retry would repeat its effects for nothing."""
    UNKNOWN_JOB = "unknown_job"
    """No release that worked the queue for an hour knew the job."""
    MAX_ATTEMPTS = "max_attempts"
    """As many attempts failed as the job may have."""
    MAX_CRASHES = "max_crashes"
    """As many workers or child processes vanished while working it as the job may have."""
    LOST = "lost"
    """Its worker or child process vanished or was stopped, and an at-most-once run is never started again."""
    CANCELLED = "cancelled"
    """Somebody, or the job itself, cancelled it."""
    EXPIRED = "expired"
    """It was not started in time."""
    REPLACED = "replaced"
    """A newer run took its place: both are alike, and only one may wait."""


class OnDuplicate(StrEnum):
    """What becomes of an ``add()`` where a run that is alike is there already."""

    SKIP = "skip"
    """The run that is there is the answer."""
    RAISE = "raise"
    """It is an error."""
    REPLACE = "replace"
    """The run that is there is cancelled, if it is still pending, and the new one added."""


class Delivery(StrEnum):
    """What happens to a run whose attempt was cut off."""

    AT_LEAST_ONCE = "at_least_once"
    AT_MOST_ONCE = "at_most_once"


class Origin(StrEnum):
    """Where a schedule is declared."""

    CODE = "code"
    SETTINGS = "settings"
    DATABASE = "database"
    """In its row only: somebody made it in the admin, or by ``schedule_create``."""


class Misfire(StrEnum):
    """What becomes of the due times that went by while no worker looked."""

    FIRE_ONCE = "fire_once"
    """One run, for the last of them, which says how many it stands for."""
    SKIP = "skip"
    """No run."""
    CATCH_UP = "catch_up"
    """A run for each, oldest first; only for the last ones, where they are too many."""


class Overlap(StrEnum):
    """What becomes of a due time at which a run of the schedule is still pending or running."""

    ALLOW = "allow"
    """Another run."""
    SKIP = "skip"
    """No run."""
    QUEUE = "queue"
    """It waits until the run has ended."""


class SkipReason(StrEnum):
    """Why a due time made no run."""

    MISFIRE = "misfire"
    """It was found too late, and the misfire rule gives it no run."""
    OVERLAP = "overlap"
    """An earlier run was still live."""
    OPERATOR = "operator"
    """Somebody asked to skip it."""
    VETOED = "vetoed"
    """The ``on_before_add`` of the job did not let it be added."""
    DUPLICATE = "duplicate"
    """The job is unique, and a run with the same key was there."""
    REFUSED = "refused"
    """The run was refused: an unknown job, or a payload that does not fit."""
