"""What the producer knows: which runs it has added, whatever became of the database's reply."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import cycle, islice
from typing import Any

from django.db import connection

from django_jobqueue import queues
from django_jobqueue.worker.connections import DATABASE_AWAY

WORK = ("work", "work", "enter", "work", "once")
LONGEST_ALONE = 0.05
"""Seconds for which a transaction may keep all others from writing, which on SQLite it does."""


class Ledger:
    """Adds runs to queue ``chaos``, each under a key, and keeps account of them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(f"ledger {seed}")  # to be repeated, not to be secret
        self.acknowledged: set[int] = set()
        self._unclear: dict[str, tuple[str, Mapping[str, Any]]] = {}
        """What may have been added or not, by its key."""
        self.unanswered = 0
        """How often nobody knew."""
        self._keys = 0

    def add(self, job: str, payload: Mapping[str, Any]) -> None:
        self._keys += 1
        self._add(f"key {self._keys}", job, payload)

    def add_work(self, count: int, *, longest: float = 0.3) -> None:
        """So many runs of about as long; some of them may be started only once, others are atomic."""
        for job in islice(cycle(WORK), count):
            most = min(longest, LONGEST_ALONE) if job == "enter" and connection.vendor == "sqlite" else longest
            self.add(job, {"seconds": self.random.uniform(0.01, most)})

    def clear_up(self) -> None:
        """Add again what nobody knows to be added: the same key makes the same run."""
        while self._unclear:
            key, (job, payload) = next(iter(self._unclear.items()))
            self._add(key, job, payload)

    def _add(self, key: str, job: str, payload: Mapping[str, Any]) -> None:
        self._unclear[key] = (job, payload)
        try:
            run = queues.chaos.add(job, payload, idempotency_key=key)
        except DATABASE_AWAY:
            connection.close()
            self.unanswered += 1
            return
        assert run is not None
        del self._unclear[key]
        self.acknowledged.add(run.id)
