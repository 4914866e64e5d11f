"""The fence: which attempt of which run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from django_jobqueue.states import State

STATES = {state.value: state for state in State}


class Ref(NamedTuple):
    """One attempt of one run: together the fence of every write."""

    id: int
    attempt: int


def in_lock_order(refs: Iterable[Ref]) -> list[Ref]:
    """Each ref once, by id: two statements that write the same rows mostly lock them in the same order."""
    return sorted(set(refs))


def states(rows: Iterable[tuple[int, int, str]]) -> dict[Ref, State]:
    """What has become of runs, out of rows of their id, attempt and state."""
    return {Ref(run_id, attempt): STATES[state] for run_id, attempt, state in rows}
