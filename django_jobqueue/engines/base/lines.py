"""What limits ask of an engine: to lock, to look who is there, to park. ``limits.py`` says what for.

The runs that are parked on one limit are its *line*.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

from django_jobqueue.engines.base.database import Database
from django_jobqueue.limits import Candidate, Limit
from django_jobqueue.models import QueueState

if TYPE_CHECKING:
    from django_jobqueue.engines.base.bounds import Bounds

Running: TypeAlias = tuple[str, str | None, int]
"""A job, a concurrency key, and how many runs of both are running, whether their lease is over or not."""


class Placing(NamedTuple):
    """Where a pending run is to wait."""

    id: int
    blocked_on: str | None
    """None: in sight of every claim."""
    run_at: datetime | None = None
    """None: as it is."""


class Locked(NamedTuple):
    """What is so in queues that we have locked, until the transaction ends."""

    now: datetime
    states: list[QueueState]
    """What operators have set for them and their jobs."""
    running: dict[str, list[Running]]


class Lines(Database):
    """The runs that wait, in one queue at a time."""

    @abstractmethod
    def lock(self, namespace: str, queues: Collection[str]) -> Locked:
        """Let nobody else claim under the limits of *queues*, nor park or call their runs, until the transaction ends.

        Call it once in a transaction, after everything that may wait: all others wait for whoever has it. What it
        answers, and all that is read afterwards, is as of after the wait.
        """

    COUNT_RUNNING: ClassVar[str]

    def running(self, namespace: str, queues: Collection[str]) -> dict[str, list[Running]]:
        """How many runs are running in each of *queues*."""
        parameters = {"namespace": namespace, "queues": self.document(queues)}
        return by_queue(queues, self.fetch(self.COUNT_RUNNING, parameters))

    @abstractmethod
    def candidates(
        self,
        namespace: str,
        queue: str,
        *,
        limit: int,
        held: Collection[Limit] = (),
        bounds: Bounds | None = None,
    ) -> list[Candidate]:
        """The first due runs in the order of claiming, with their lock; without those that others have locked.

        Those that one of the limits *held* holds back are passed over; it may be a few more than those. *Bounds* as for
        a claim.
        """

    @abstractmethod
    def front(self, namespace: str, queue: str, lines: Mapping[Limit, int]) -> list[Candidate]:
        """The first so many of each line in the order of claiming, with their lock."""

    @abstractmethod
    def heads(self, namespace: str, queue: str, keys: Iterable[Limit], own_keys: Sequence[str]) -> dict[Limit, int]:
        """The earliest run of each of *keys* that has not ended, wherever it waits, if there is one.

        *own_keys* are the jobs whose keys count by themselves.
        """

    @abstractmethod
    def parked(self, ids: Iterable[int]) -> list[Candidate]:
        """Those runs of *ids* that are parked, with their lock."""

    @abstractmethod
    def place(self, placings: Iterable[Placing]) -> None:
        """Park runs, or let them go. The caller holds their lock."""

    @abstractmethod
    def lines(self, namespace: str, queues: Mapping[str, str], *, limit: int) -> list[tuple[str, str]]:
        """Up to *limit* lines of *queues*, each with its queue: of each queue those behind the line given, by name.

        As many of one as of another, as long as it has any.
        """


def by_queue(queues: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> dict[str, list[Running]]:
    """The *rows* of each queue, which begin with its name."""
    running: dict[str, list[Running]] = {queue: [] for queue in queues}
    for queue, job, key, number in rows:
        running[queue].append((job, key, number))
    return running


def passed_over(held: Iterable[Limit]) -> Iterable[str]:
    """What tells in SQL whom a limit holds; one of a whole job holds all of its runs."""
    return (str(limit) if limit.key is not None else f"job:{limit.job}" for limit in held)
