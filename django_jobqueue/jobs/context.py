"""The context of a run, for the job that asks for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from types import MappingProxyType
from typing import Any

from django_jobqueue.conf import get_config
from django_jobqueue.errors import AttemptEnded, InvalidRun, shown
from django_jobqueue.jobs import moments
from django_jobqueue.jobs.notes import Notes
from django_jobqueue.jobs.outcomes import Completed, Decision, Deleted, Failed, Snooze
from django_jobqueue.payloads import MAX_INTEGER, encode_json, storable

MESSAGE_LENGTH = 1_000
"""Characters of a message of progress that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What a job learns about the run it works, and says of it, by having a parameter named ``run``.

    What it says is written by the worker, on a connection of its own: it does not wait for a transaction of the job, and is
    not rolled back with it. Any thread of the job may speak, until the job returns.
    """

    id: int
    """The id of the ``Run``; the same through all attempts, so it may serve as an idempotency key elsewhere."""

    attempt: int
    """The number of this attempt, from 1. It only grows: of two attempts, the higher is the one that counts."""

    queue: str
    job: str

    payload: Mapping[str, Any] = field(repr=False)
    """All arguments, also those that have no parameter of their own."""

    scheduled_for: datetime
    """When this attempt was due."""

    tags: tuple[str, ...] = field(default=(), repr=False)
    """Those that ``add()`` was given, beside those of the job."""

    tenant: str | None = None
    user: str | None = None
    trace_id: str | None = None
    """Whom the run is for, who wants it, and the trace that it belongs to, as ``add()`` was told."""

    fires_at: datetime | None = None
    """The due time of a schedule that the run is for; None if no schedule made it, or somebody fired it by hand."""

    missed: int = 0
    """How many earlier due times of the schedule the run stands for, because no worker looked."""

    deadline: datetime | None = None
    """When the time of this attempt is over, by its ``timeout_seconds``; None if it has none."""

    _ends_at: float | None = field(default=None, repr=False)
    """The deadline by ``time.monotonic()``, which nobody sets."""

    _notes: Notes = field(default_factory=Notes, repr=False)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What is kept beside the payload, updates of this attempt included."""
        return MappingProxyType(self._notes.metadata)

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody has asked to cancel this run, as known within a heartbeat. If so, ``raise Cancel`` soon."""
        return self._notes.cancel_requested

    @property
    def timed_out(self) -> bool:
        """Whether the deadline has passed. If so, end soon: in a thread, nothing else tells the job."""
        return self._ends_at is not None and monotonic() >= self._ends_at

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Show how far the job is: *done* of *total*, and what it does right now.

        Call it as often as you like: about once a second the latest is written. Raises InvalidRun.
        """
        if not isinstance(message, str):
            raise InvalidRun(f"progress: message must be text, got {shown(message)}.")
        told = {
            "done": _amount(done, "done"),
            "total": None if total is None else _amount(total, "total"),
            "message": storable(message[:MESSAGE_LENGTH]),
        }
        self._check(self._notes.put_progress(json.dumps(told)), "progress")

    def update_metadata(self, /, **values: Any) -> None:
        """Keep *values* in the metadata of the run, beside what is there, for later attempts and for all to see.

        Raises PayloadError if they are not JSON, or all of it together is too large.
        """
        self._check(self._notes.put_metadata(values, _encoded), "update_metadata")

    # The outcomes: of several, the last one counts. It is written when the job returns, whatever it then returns; if it
    # raises instead, that is what counts.

    def completed(self, result: object = None) -> None:
        """Complete the run with *result*, as returning it would."""
        self._decide("completed", Completed(result))

    def failed(self, error: str | BaseException) -> None:
        """End the run as failed: trying again is useless. Like ``raise Fail``, but the job can continue to its end."""
        if not isinstance(error, str | BaseException):
            raise InvalidRun(f"failed: error must be text or an exception, got {shown(error)}.")
        self._decide("failed", Failed(error))

    def requeue(self, next_run_at: datetime | str | None = None, *, delay_seconds: float | None = None) -> None:
        """Put the run back, for *next_run_at* or in *delay_seconds*; at once if neither is given. Costs no failure."""
        if next_run_at is not None and delay_seconds is not None:
            raise InvalidRun("requeue: give next_run_at or delay_seconds, not both.")
        at = moments.moment(next_run_at, "next_run_at")
        self._decide("requeue", Snooze(at=at, delay_seconds=delay_seconds))

    def delete(self) -> None:
        """Delete the run and its attempts, instead of ending it. It counts as completed."""
        self._decide("delete", Deleted())

    def _decide(self, method: str, decision: Decision) -> None:
        self._check(self._notes.put_decision(decision), method)

    def _check(self, came_in_time: bool, method: str) -> None:
        if not came_in_time:
            raise AttemptEnded(self.id, self.attempt, method)


def _encoded(metadata: Mapping[str, Any]) -> str:
    return encode_json(metadata, root="metadata", max_bytes=get_config().payload_max_bytes)


def _amount(value: object, argument: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_INTEGER:
        raise InvalidRun(f"progress: {argument} must be a number from 0 to 2**63, got {shown(value)}.")
    return value
