"""The engine: what every database must do in its own SQL, and the values that go in and come out.

An engine works on many runs at once, on the connection and in the transaction of its caller, by the database's clock.
What plain ORM does equally well everywhere is not here: it is a QuerySet method.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from django_jobqueue.engines.lines import Lines
from django_jobqueue.states import Delivery, OnDuplicate, Outcome, Reason, State


class Ref(NamedTuple):
    """One attempt of one run: together the fence of every write."""

    id: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run that is about to be added."""

    queue: str
    job: str
    payload_text: str = field(default="{}", repr=False)
    """The payload as JSON text."""
    version: int = 1
    priority: int = 0
    run_at: datetime | None = None
    """None: now, by the database's clock."""
    delay_seconds: float = 0.0
    """Added to ``run_at``."""
    expires_at: datetime | None = None
    expires_after_seconds: float | None = None
    """Counted from when the run is due; where ``expires_at`` is not given."""
    max_attempts: int | None = None
    delivery: Delivery = Delivery.AT_LEAST_ONCE
    concurrency_key: str | None = None
    rate_key: str | None = None
    tags: tuple[str, ...] | None = None
    tenant: str | None = None
    user: str | None = None
    trace_id: str | None = None
    unique_key: str | None = None
    """What a unique run has of its own, to search for."""
    unique_lock: str | None = None
    """No two runs of a namespace hold the same."""
    unique_seconds: int | None = None
    """The length of the window that the lock is for; it is named when the run is inserted."""
    on_duplicate: OnDuplicate | None = None
    """Given where there is a lock."""
    idempotency_key: str | None = None
    arguments_hash: str | None = None
    """Hashes: of the key under which the run is asked for, and of what must be the same if it is asked for again."""
    metadata_text: str | None = field(default=None, repr=False)
    """The metadata as JSON text."""
    replay_of: int | None = None
    """The id of the run whose payload is run again."""
    schedule: int | None = None
    """The id of the schedule that makes it."""
    fires_at: datetime | None = None
    """The due time of the schedule that it is for."""
    missed: int | None = None
    """How many earlier due times it stands for."""

    @property
    def payload(self) -> dict[str, Any]:
        """The payload as the job will get it; a new copy each time."""
        payload: dict[str, Any] = json.loads(self.payload_text)
        return payload

    @property
    def metadata(self) -> dict[str, Any] | None:
        """The metadata as the job will get it; a new copy each time."""
        return None if self.metadata_text is None else json.loads(self.metadata_text)


class Inserted(NamedTuple):
    """What the database decided about a new run."""

    id: int
    run_at: datetime
    created_at: datetime
    expires_at: datetime | None


class KeptKey(NamedTuple):
    """An idempotency key, and what it made."""

    key_hash: str
    arguments_hash: str
    run_id: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that is ours until its lease ends."""

    id: int
    attempt: int
    queue: str
    job: str
    version: int
    payload: str = field(repr=False)
    priority: int
    run_at: datetime
    failures: int
    crashes: int
    releases: int
    max_attempts: int | None
    delivery: str
    metadata: str | None = field(repr=False)
    concurrency_key: str | None
    fires_at: datetime | None = None
    missed: int | None = None

    @property
    def ref(self) -> Ref:
        return Ref(self.id, self.attempt)


Counter = Literal["failures", "crashes", "snoozes", "releases"]


@dataclass(slots=True)
class Settlement:
    """How an attempt ended, and what becomes of its run."""

    id: int
    attempt: int
    _: KW_ONLY
    outcome: Outcome
    state: State
    reason: Reason | None = None
    """Given if, and only if, *state* is final."""
    counter: Counter | None = None
    """Which count of the run this attempt adds to."""
    run_at: datetime | None = None
    delay_seconds: float = 0.0
    """When a run that goes back to pending is due: *run_at*, or now, plus the delay."""
    result: str | None = field(default=None, repr=False)
    """JSON text."""
    error: str | None = None
    traceback: str | None = field(default=None, repr=False)
    progress: str | None = field(default=None, repr=False)
    metadata: str | None = field(default=None, repr=False)
    """JSON text of what the job has noted; None leaves what is there."""
    delete: bool = False
    """Whether the run goes, with all its attempts, instead of ending in *state*."""
    started: float | None = None
    finished: float | None = None
    """When the job was called, and returned, by ``time.monotonic()`` of this process; None: when claimed, and now."""

    @property
    def ref(self) -> Ref:
        return Ref(self.id, self.attempt)


class Note(NamedTuple):
    """What a job says of its run while it runs."""

    id: int
    attempt: int
    progress: str | None = None
    metadata: str | None = None
    """JSON text; None leaves what is there."""

    @property
    def ref(self) -> Ref:
        return Ref(self.id, self.attempt)


class LostRun(NamedTuple):
    """A running run whose lease is over, as a reaper found it."""

    id: int
    attempt: int
    queue: str
    job: str
    worker: str
    crashes: int
    delivery: str
    concurrency_key: str | None

    @property
    def ref(self) -> Ref:
        return Ref(self.id, self.attempt)


class Due(NamedTuple):
    """A schedule that is due."""

    id: int
    live: bool
    """Its overlap rule is not ``allow``, and one of its runs is pending or running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """What a schedule remembers of a tick. Moments are as the ORM takes them."""

    id: int
    next_run_at: datetime | None
    accounted_until: datetime | None
    last_run_at: datetime | None
    last_run: int | None
    skipped_since: datetime | None
    skip_reason: str | None
    skipped: int


class Engine(Lines):
    """The SQL of one database vendor, for the tables of one database alias."""

    @abstractmethod
    def insert(self, namespace: str, runs: Sequence[NewRun]) -> list[Inserted]:
        """Insert *runs* as pending, and answer in their order. None of them has a lock."""

    @abstractmethod
    def insert_unique(self, namespace: str, runs: Sequence[NewRun]) -> list[Inserted | None]:
        """``insert`` of runs with locks; None answers for one whose lock is held, by a run before it at the latest.

        Waits for others who are about to insert the same, and raises no error.
        """

    @abstractmethod
    def keep_keys(self, namespace: str, keys: Sequence[KeptKey], *, seconds: float) -> set[str]:
        """Remember each key for so many seconds, but for those that are kept already; answer which are ours.

        Waits for others who are about to keep the same, and raises no error.
        """

    @abstractmethod
    def claim(
        self,
        namespace: str,
        queue: str,
        *,
        worker: str,
        limit: int,
        lease_seconds: float,
        ruled: bool = False,
    ) -> list[Claim]:
        """Lease up to *limit* due runs of *queue* to *worker*: highest priority first, then longest due.

        None, if an operator has paused or limited the queue, or a job of it; unless whoever claims has *ruled* on that,
        under the lock.
        """

    @abstractmethod
    def take(self, ids: Iterable[int], *, worker: str, lease_seconds: float) -> list[Claim]:
        """Lease these pending runs, parked or not, to *worker*; the caller holds their lock, and has ruled on limits."""

    @abstractmethod
    def renew(self, leases: Sequence[tuple[Ref, float]]) -> dict[Ref, bool]:
        """Let the leases end so many seconds from now; for those still ours, say whether a cancel is requested."""

    @abstractmethod
    def note(self, notes: Sequence[Note]) -> set[Ref]:
        """Write what running jobs say of their runs; answer which of them were still ours, and could be written."""

    def settle(self, settlements: Sequence[Settlement]) -> dict[Ref, State]:
        """Write how attempts ended; answer with the state of each run that was still ours.

        A run that would go back to pending, but is asked to cancel, is cancelled. One that is to be deleted is gone. A
        missing ref means that the lease was lost, and nothing was written.
        """
        states = {settlement.ref: settlement.state for settlement in settlements if settlement.delete}
        if not states:
            return self._settle(settlements, expired=False)
        kept = [settlement for settlement in settlements if not settlement.delete]
        gone = {ref: states[ref] for ref in self._delete(list(states))}
        return self._settle(kept, expired=False) | gone

    @abstractmethod
    def _settle(self, settlements: Sequence[Settlement], *, expired: bool) -> dict[Ref, State]:
        """Settle runs that are kept; if *expired*, only those whose lease is over."""

    @abstractmethod
    def _delete(self, refs: Sequence[Ref]) -> set[Ref]:
        """Delete running runs and all their attempts; answer which were still ours."""

    @abstractmethod
    def purge(self, ids: Sequence[int]) -> list[int]:
        """Delete those of the runs *ids* that have ended, and all their attempts; answer which. Waits for nobody."""

    @abstractmethod
    def release(self, refs: Sequence[Ref], *, delay_seconds: float = 0.0, unknown: bool = False) -> dict[Ref, State]:
        """Hand runs back of which no user code ran; no Attempt is written. Cancels and answers as ``settle`` does.

        *Unknown* ones keep the moment since when they are; handed back for another reason, or settled, they forget it.
        """

    @abstractmethod
    def reap(
        self,
        namespace: str,
        decide: Callable[[LostRun], Settlement | None],
        *,
        limit: int = 100,
        but: Sequence[str] = (),
        then: Callable[[dict[Ref, State]], None] | None = None,
    ) -> list[tuple[LostRun, State]]:
        """Settle up to *limit* runs whose lease is over as *decide* says, unless they were renewed or taken since.

        Runs of the queues *but* are passed over. *decide* may answer None, to leave a run as it is. *then* is called with what was settled, in the transaction
        that settles.
        """

    @abstractmethod
    def next_due(self, namespace: str, queues: Sequence[str]) -> float | None:
        """Seconds until a run of *queues* can be claimed: 0 or less if one is due, None if none is pending.

        Of runs that are parked, only those count that wait for a token.
        """

    @abstractmethod
    def due_schedules(self, namespace: str, *, now: datetime, limit: int, but: Sequence[int] = ()) -> list[Due]:
        """Up to *limit* schedules that are due at *now*, longest due first, without those of *but*.

        One whose runs queue is not due while one of them is live. They are locked until the transaction ends, in which
        the caller must be; those that others have locked are passed over.
        """

    @abstractmethod
    def advance_schedules(self, advances: Sequence[Advance]) -> None:
        """Write what became of schedules that ``due_schedules`` has locked."""


def matched(runs: Sequence[NewRun], inserted: Iterable[tuple[Inserted, str | None]]) -> list[Inserted | None]:
    """What became of each of *runs*, where only some were *inserted*, in that order and with these locks."""
    rows = iter(inserted)
    row, lock = next(rows, (None, None))
    answers: list[Inserted | None] = []
    for run in runs:
        if row is None or run.unique_lock != lock:
            answers.append(None)
        else:
            answers.append(row)
            row, lock = next(rows, (None, None))
    return answers


def columns(item: NewRun | Settlement | Advance) -> dict[str, Any]:
    """The fields of *item* that are set, by name: what a document does not say is NULL."""
    return {name: value for name in item.__slots__ if (value := getattr(item, name)) is not None}


def seconds_ago(settlement: Settlement, now: float) -> tuple[float | None, float]:
    """How long before *now*, by ``time.monotonic()``, the job was called, if that is known, and returned."""
    started = None if settlement.started is None else now - settlement.started
    return started, 0.0 if settlement.finished is None else now - settlement.finished


def in_lock_order(refs: Iterable[Ref]) -> list[Ref]:
    """Each ref once, by id: two statements that write the same rows mostly lock them in the same order."""
    return sorted(set(refs))


def in_claim_order(claims: Iterable[Claim]) -> list[Claim]:
    """RETURNING keeps no order; the order of claiming is the order of starting."""
    return sorted(claims, key=lambda claim: (-claim.priority, claim.run_at, claim.id))
