"""The context of a run, for the job that asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What a job learns about the run it works, by having a parameter named ``run``."""

    id: int
    """The id of the ``Run``; the same through all attempts, so it may serve as an idempotency key elsewhere."""

    attempt: int
    """The number of this attempt, from 1. It only grows: of two attempts, the higher is the one that counts."""

    queue: str
    job: str

    payload: Mapping[str, Any]
    """All arguments, also those that have no parameter of their own."""

    metadata: Mapping[str, Any]

    scheduled_for: datetime
    """When this attempt was due."""
