"""What came of an attempt that a test had worked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django_jobqueue.errors import PayloadError
from django_jobqueue.jobs import Fail
from django_jobqueue.states import Outcome, Reason, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """One attempt, as it was recorded."""

    run_id: int
    queue: str
    job: str
    attempt: int
    outcome: Outcome
    state: State
    """Of the run, after this attempt."""
    reason: Reason | None = None
    """Why the run is in its final state, if it is."""
    error: str | None = None
    exception: BaseException | None = field(default=None, compare=False)
    """What the job raised, if it did."""

    @property
    def failed(self) -> bool:
        """Whether it went wrong, be it for this time only. To snooze, or to cancel, is the wish of the job."""
        if self.outcome == Outcome.RELEASED:
            return self.exception is not None
        return self.outcome not in (Outcome.COMPLETED, Outcome.SNOOZED, Outcome.CANCELLED)

    def __repr__(self) -> str:
        told = f": {self.error}" if self.error else ""
        return f"<{self.queue}.{self.job} #{self.run_id}, attempt {self.attempt}: {self.outcome}{told}>"


def raise_failure(history: Iterable[Worked]) -> None:
    """Raise the error of the first run whose last attempt failed, with a note that names the attempt."""
    last = {worked.run_id: worked for worked in history}
    for worked in last.values():
        if worked.failed:
            error = _error(worked)
            error.add_note(repr(worked))
            raise error


def _error(worked: Worked) -> BaseException:
    if worked.reason in (Reason.INVALID_PAYLOAD, Reason.INVALID_RESULT):
        return PayloadError(worked.error or "")
    return worked.exception or Fail(worked.error or "")
