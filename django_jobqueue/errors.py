"""Every error of the project.

    JobQueueError
    ├── ConfigError              settings.JOBQUEUE, or a @job, asks for something that cannot work
    ├── UnknownQueue             no such queue            (also an AttributeError)
    ├── UnknownJob               no such job in the queue (also a LookupError)
    ├── InvalidRun               what add() is asked, or a job says of its run, is refused (also a ValueError)
    │   └── PayloadError         ... because of the payload
    ├── InvalidSchedule          a cron line, time zone or other part of a schedule is refused (also a ValueError)
    ├── ScheduleNotFound         no such schedule         (also a LookupError)
    ├── AlreadyAdded             there is such a run already, and the caller does not want it
    │   ├── DuplicateRun         ... because its job is unique
    │   └── IdempotencyConflict  ... under the same idempotency key, but with other arguments
    ├── KeyContested             who holds its key cannot be told, so the run is not added
    ├── RunVetoed                the job's on_before_add does not let the run be added
    ├── AttemptEnded             a job speaks of its run after it has returned
    ├── AttemptTimedOut          an attempt takes too long; raised in the job (also a TimeoutError)
    ├── InvalidArgument          an argument of another operation is refused (also a ValueError)
    ├── RunNotFound              no such run              (also a LookupError)
    ├── RunNotPending            only a pending run can be rescheduled
    └── RunNotEnded              only a run that has ended can be replayed

Each carries a ``code``, the stable word by which other programs may tell it apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar, Self


def nearest(name: object, known: Iterable[str]) -> str:
    """Say which of the *known* names comes nearest to *name*, or what the known names are."""
    names = sorted(known)
    return did_you_mean(name, names) or (f"Known: {', '.join(names)}." if names else "There are none.")


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Ask whether *name* was to be the one of the *known* names that comes near it; nothing where none does."""
    near = get_close_matches(name, sorted(known), n=1) if isinstance(name, str) else []
    return f"Did you mean {near[0]!r}?" if near else ""


def shown(value: object) -> str:
    """Return *value* as a message may show it: its repr, cut to 80 characters; its type, where it has no repr."""
    try:
        text = repr(value)
    except Exception:  # an int of 5,000 digits, or anybody's broken __repr__
        return f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:77]}..."


class JobQueueError(Exception):
    """Base of everything that django-jobqueue raises on purpose."""

    code: ClassVar[str] = "error"


class ConfigError(JobQueueError):
    """The configuration asks for something that cannot work. ``problems`` lists all of it."""

    code = "config"

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class UnknownQueue(JobQueueError, AttributeError):
    """No queue has this name. An AttributeError, because ``queues.<name>`` looks it up."""

    code = "unknown_queue"

    def __init__(self, queue: object, known: Iterable[str]) -> None:
        super().__init__(f"{shown(queue)} is not a queue. {nearest(queue, known)}")


class UnknownJob(JobQueueError, LookupError):
    """The queue exists, but has no job of this name."""

    code = "unknown_job"

    def __init__(self, queue: str, job: object, known: Iterable[str]) -> None:
        super().__init__(f"{shown(job)} is not a job of queue {queue!r}. {nearest(job, known)}")


class InvalidArgument(JobQueueError, ValueError):
    """An argument of an operation is refused; nothing was written."""

    code = "invalid_argument"

    @classmethod
    def unknown(cls, argument: str, given: object, known: Iterable[str]) -> Self:
        """Where an argument, such as ``state``, is given none of the *known* words."""
        return cls(f"{argument}: {shown(given)} is not a {argument}. {nearest(given, known)}")


class InvalidRun(JobQueueError, ValueError):
    """An argument of ``add()``, or what a job says of its run, is refused; nothing was written."""

    code = "invalid_run"


class PayloadError(InvalidRun):
    """The payload does not fit its job, or cannot be stored. The message names the place.

    ``general`` says the same without any value, and so the same of all payloads with this flaw.
    """

    code = "invalid_payload"

    def __init__(self, message: str, general: str | None = None) -> None:
        super().__init__(message)
        self.general = general or message


class InvalidSchedule(JobQueueError, ValueError):
    """A cron line, a time zone, or another part of a schedule is refused; nothing was written."""

    code = "invalid_schedule"


class ScheduleNotFound(JobQueueError, LookupError):
    """No schedule has this name."""

    code = "schedule_not_found"

    def __init__(self, name: object, known: Iterable[str]) -> None:
        super().__init__(f"{shown(name)} is not a schedule. {nearest(name, known)}")


class AlreadyAdded(JobQueueError):
    """There is such a run already, and it is not what the caller wants; nothing was written."""

    code = "already_added"

    run_id: int | None
    """The run that is there; None, if it is an item before this one in the same ``bulk_add``."""
    position: int = 0
    """Which run of a batch was refused."""


class DuplicateRun(AlreadyAdded):
    """The job is unique, and a run with the same key is there."""

    code = "duplicate_run"

    def __init__(self, queue: str, job: str, key: str, run_id: int | None, *, position: int = 0) -> None:
        self.run_id = run_id
        self.position = position
        there = "an item before it has" if run_id is None else f"run {run_id} has"
        super().__init__(f"Job {job!r} of queue {queue!r} is unique, and {there} the same key, {shown(key)}.")


class IdempotencyConflict(AlreadyAdded):
    """The idempotency key was given before, with other arguments."""

    code = "idempotency_conflict"

    def __init__(self, queue: str, job: str, run_id: int | None, *, position: int = 0) -> None:
        self.run_id = run_id
        self.position = position
        there = "an item before it" if run_id is None else f"run {run_id}"
        super().__init__(
            f"The idempotency_key made {there}, of job {job!r} of queue {queue!r}, from other arguments. "
            f"Use a key of its own for each request."
        )


class KeyContested(JobQueueError):
    """The key of a run was held each time that it was to be added, and free whenever one looked; nothing was written."""

    code = "key_contested"

    def __init__(self, queue: str, job: str, key: str, rounds: int) -> None:
        super().__init__(
            f"The {key} of job {job!r} of queue {queue!r} was held {rounds} times, and each time free again at once. "
            f"Add the run once more, if many others do the same; or look for a trigger of the database that keeps it out."
        )


class RunVetoed(JobQueueError):
    """The ``on_before_add`` of the job does not let a run be added, where one was promised."""

    code = "run_vetoed"

    def __init__(self, queue: str, job: str) -> None:
        super().__init__(f"on_before_add of job {job!r} of queue {queue!r} does not let it be added.")


class AttemptEnded(JobQueueError):
    """What a job says of its run comes after it has returned; nothing was written."""

    code = "attempt_ended"

    def __init__(self, run_id: int, attempt: int, said: str) -> None:
        super().__init__(
            f"run.{said}: attempt {attempt} of run {run_id} has ended, so this changes nothing. "
            f"Let the job wait for the threads and tasks that it starts."
        )


class AttemptTimedOut(JobQueueError, TimeoutError):
    """The attempt takes longer than its ``timeout_seconds``; raised in the job, where that is possible."""

    code = "attempt_timed_out"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The attempt took longer than its timeout of {seconds:g} s.")


class TransactionBroken(JobQueueError):
    """An atomic job has returned from a transaction that cannot be committed any more."""

    code = "transaction_broken"

    def __init__(self) -> None:
        super().__init__(
            "The job has returned, but its transaction is broken: it has caught an error of the database and gone on, has "
            "asked for a rollback, or has ended it by a statement that commits. Let such an error leave the job; or, to go on "
            "after it, catch it around an atomic() block of its own. Leave statements that commit to other jobs."
        )


class RunNotFound(JobQueueError, LookupError):
    """No run has this id."""

    code = "run_not_found"

    def __init__(self, run_id: object) -> None:
        super().__init__(f"There is no run {shown(run_id)}.")


class RunNotPending(JobQueueError):
    """Only a pending run can be rescheduled."""

    code = "run_not_pending"

    def __init__(self, run_id: int, state: str) -> None:
        super().__init__(f"Run {run_id} is {state}. Only a pending run can be rescheduled.")


class RunNotEnded(JobQueueError):
    """Only a run that has ended can be replayed."""

    code = "run_not_ended"

    def __init__(self, run_id: int, state: str) -> None:
        super().__init__(f"Run {run_id} is {state}. Only a run that has ended can be replayed.")
