"""New runs, and the keys under which they are asked for."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any, NamedTuple

from django_jobqueue.engines.base.database import Database
from django_jobqueue.states import Delivery, OnDuplicate


class NewRun(NamedTuple):
    """A run that is about to be added. A tuple, as nothing else that cannot be changed is made so quickly."""

    queue: str
    job: str
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
    timeout_seconds: float | None = None
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
    metadata_text: str | None = None
    """The metadata as JSON text."""
    replay_of: int | None = None
    """The id of the run whose payload is run again."""
    schedule: int | None = None
    """The id of the schedule that makes it."""
    fires_at: datetime | None = None
    """The due time of the schedule that it is for."""
    missed: int | None = None
    """How many earlier due times it stands for."""
    payload_text: str = "{}"
    """The payload as JSON text. The last field: what stands before it is the same in most runs of a batch."""

    def __repr__(self) -> str:
        """Without what may be secret."""
        return f"<NewRun: {self.queue}.{self.job}>"

    def columns(self) -> dict[str, Any]:
        """The fields that are set, by name, but for the payload."""
        return {name: value for name, value in zip(self._fields[:-1], self[:-1], strict=True) if value is not None}

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


class Inserting(Database):
    """How runs come in."""

    @abstractmethod
    def insert(self, namespace: str, runs: Sequence[NewRun]) -> list[Inserted]:
        """Insert *runs* as pending, and answer in their order. None of them has a lock."""

    @abstractmethod
    def insert_unique(self, namespace: str, runs: Sequence[NewRun]) -> list[Inserted | None]:
        """``insert`` of runs with locks; None answers for one whose lock is held, by a run before it at the latest.

        Waits for others who are about to insert the same, and raises no error.
        """

    def alone(self, locks: Collection[str]) -> AbstractContextManager[None]:
        """Let nobody else insert runs with these *locks*, nor replace them, where they would block each other."""
        return nullcontext()

    @abstractmethod
    def keep_keys(self, namespace: str, keys: Sequence[KeptKey], *, seconds: float) -> set[str]:
        """Remember each key for so many seconds, but for those that are kept already; answer which are ours.

        Waits for others who are about to keep the same, and raises no error.
        """


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
