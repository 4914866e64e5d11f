"""What can hold a run back, and the run as a claim looks at it."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Literal, NamedTuple, Self

Kind = Literal["pause", "key", "job", "rate"]

REMEMBERED_TEXTS = 4096
"""A claim reads those of the lines that it looks at several times."""


class Limit(NamedTuple):
    """What can hold a run back. Its text is what a parked run is ``blocked_on``."""

    kind: Kind
    job: str = ""
    """Empty, if the queue declares it: then it counts in the queue."""
    key: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.job}" if self.key is None else f"{self.kind}:{self.job}/{self.key}"

    @classmethod
    @lru_cache(maxsize=REMEMBERED_TEXTS)
    def parse(cls, text: str) -> Self:
        """The limit of that text. No name of a job has a slash."""
        kind, _, rest = text.partition(":")
        job, slash, key = rest.partition("/")
        return cls(kind, job, key if slash else None)  # type: ignore[arg-type]

    def covers(self, other: Limit) -> bool:
        """Whether all that *other* can hold back is held back by this one too."""
        if self.key is not None:
            return self == other
        return self.job in {"", other.job}


class Candidate(NamedTuple):
    """A pending run as a claim looks at it."""

    id: int
    priority: int
    run_at: datetime
    job: str
    concurrency_key: str | None = None
    rate_key: str | None = None
    blocked_on: str | None = None
    """Where it is parked."""

    @property
    def line(self) -> Limit | None:
        """The limit that it is parked on."""
        return None if self.blocked_on is None else Limit.parse(self.blocked_on)

    @property
    def waits_for_token(self) -> bool:
        return self.blocked_on is not None and self.blocked_on.startswith("rate:")

    @property
    def claim_order(self) -> tuple[int, datetime, int]:
        return -self.priority, self.run_at, self.id
