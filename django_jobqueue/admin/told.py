"""What the admin tells of what it did to runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a verb: whether it changed anything, in a sentence; and of one run, which to look at now."""

    done: bool
    sentence: str
    run_id: int | None = None
