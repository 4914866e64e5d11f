"""The lines of one queue: who stands in front, and how they are called."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django_jobqueue.engines.base import Engine, Placing
from django_jobqueue.limits import Candidate, Limit, QueueRules


class QueueLines:
    """The lines of one queue, under its lock."""

    def __init__(self, engine: Engine, namespace: str, queue: str, rules: QueueRules) -> None:
        self._engine = engine
        self._namespace = namespace
        self._queue = queue
        self._rules = rules

    def front(self, lines: Mapping[Limit, int]) -> list[Candidate]:
        """The first so many of each line: in the order of claiming, or where the order is kept, the one whose turn it is."""
        kept = [limit for limit in lines if self._rules.keeps_order(limit)]
        other = {limit: number for limit, number in lines.items() if number > 0 and limit not in kept}
        asked = other | {limit: 1 for limit in kept if not limit.job and self._rules.own_keys}
        found = self._engine.front(self._namespace, self._queue, asked) if asked else []
        if not kept:
            return found
        return [run for run in found if run.line in other or self._is_astray(run)] + self._next_in_order(kept)

    def heads(self, keys: list[Limit]) -> dict[Limit, int]:
        """The earliest run of each key that has not ended."""
        if not keys:
            return {}
        found = self._engine.heads(self._namespace, self._queue, self._rules.spelled(keys), self._rules.own_keys)
        heads: dict[Limit, int] = {}
        for spelled, run_id in found.items():
            key = spelled._replace(job=self._rules.job_of(spelled.job))
            heads[key] = min(run_id, heads.get(key, run_id))
        return heads

    def call(self, lines: Mapping[Limit, int]) -> list[Candidate]:
        """Let the first so many of each line go, in sight of the next claim."""
        called = self.front(lines) if lines else []
        if called:
            now = self._engine.now()
            self.place([let_go(run, now) for run in called])
        return called

    def place(self, placings: list[Placing]) -> None:
        if placings:
            self._engine.place(placings)

    def _is_astray(self, run: Candidate) -> bool:
        """Whether it waits in the line of a key that is not its own any more, since its job limits keys by itself."""
        return run.line != self._rules.key(run.job, run.concurrency_key)

    def _next_in_order(self, kept: list[Limit]) -> list[Candidate]:
        heads = self.heads(kept)
        if not heads:
            return []
        return [run for run in self._engine.parked(heads.values()) if run.line in kept]


def let_go(run: Candidate, now: datetime) -> Placing:
    return moved(run, None, now)


def moved(run: Candidate, to: Limit | None, now: datetime) -> Placing:
    """Where *run* waits from now on; the time of a token that it waited for means nothing there."""
    return Placing(run.id, None if to is None else str(to), now if run.run_at > now else None)
