"""The limiter: the one way in for who claims, and for who frees what was claimed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Bounds
from django_jobqueue.limiting.rules import declared_rules, newest_last, operated_rules, states
from django_jobqueue.limiting.standing import Standing
from django_jobqueue.limiting.turn import Freed, Turn
from django_jobqueue.limits import QueueRules


class Limiter:
    """Knows which queues are limited; the others pay for nothing."""

    def __init__(self) -> None:
        self._config = get_config()
        self._engine = engine_for(self._config.database)
        self._bounds = Bounds()
        self._declared: dict[str, QueueRules] = {}
        self._operated: dict[str, QueueRules] = {}
        """The rules of queues that operators limit, as far as it is known here."""

    @contextmanager
    def turn(self, queues: Iterable[str]) -> Iterator[Turn]:
        """A transaction, or the end of one, under the locks of those of *queues* that are limited; nothing, where none is.

        A single one that only counts is locked by the claim itself, if there is one: it has nobody to call.
        """
        limited = sorted({queue for queue in queues if self.is_limited(queue)})
        with transaction.atomic(using=self._config.database, savepoint=False) if limited else nullcontext():
            counted = self._counted(limited)
            locked = self._lock(limited) if limited and not counted else {}
            turn = Turn(self._engine, self._config.namespace, locked, counted, self.rules, self._lock, self._bounds)
            yield turn
            turn.call_the_rest()

    @contextmanager
    def lock(self, queue: str) -> Iterator[None]:
        """A transaction under the lock of *queue*, if it is limited."""
        with transaction.atomic(using=self._config.database, savepoint=False):
            if self.is_limited(queue):
                self._lock([queue])
            yield

    def free(self, freed: Sequence[Freed]) -> None:
        """Call those that waited for what ended attempts have *freed*, in a turn of its own."""
        queues = {run.queue for run in freed}
        for queue in queues:
            self.rules(queue)  # operators may limit it
        if any(self.is_limited(queue) for queue in queues):
            self._engine.insist(partial(self._free, queues, freed))

    def _free(self, queues: Iterable[str], freed: Sequence[Freed]) -> None:
        with self.turn(queues) as turn:
            turn.free(freed)

    def is_limited(self, queue: str) -> bool:
        """Whether to claim from *queue* takes its lock."""
        return self._declared_rules(queue).limited or queue in self._operated

    def _counted(self, limited: Sequence[str]) -> dict[str, int]:
        """How many runs of a single *limited* queue may be running, if nothing else is limited in it, as far as is known.

        Several are locked together, in order, lest two who claim wait for each other.
        """
        if len(limited) != 1 or limited[0] in self._operated:
            return {}
        rules = self._declared_rules(limited[0])
        most = rules.queue.concurrent_jobs
        return {} if rules.park or most is None else {limited[0]: most}

    def known_rules(self, queue: str) -> QueueRules:
        """What held in *queue* the last time that it was locked. It needs no database, and any thread may ask."""
        return self._operated.get(queue) or self._declared_rules(queue)

    def rules(self, queue: str) -> QueueRules:
        """What holds now."""
        declared = self._declared_rules(queue)
        if found := states(self._config.namespace, queue, declared):
            return self._noted(queue, operated_rules(declared, found, now=self._engine.now()))
        return self._noted(queue, declared)

    def _lock(self, queues: Sequence[str]) -> dict[str, Standing]:
        """Take the locks of *queues*, and see how these stand then."""
        now, found, running = self._engine.lock(self._config.namespace, queues)
        standings = {}
        for queue in queues:
            declared = self._declared_rules(queue)
            of_queue = newest_last((state for state in found if state.queue == queue), declared)
            rules = self._noted(queue, operated_rules(declared, of_queue, now=now))
            standings[queue] = Standing(rules, running[queue], now)
        return standings

    def _noted(self, queue: str, rules: QueueRules) -> QueueRules:
        """The *rules* of *queue*; it is remembered whether operators limit it."""
        declared = self._declared_rules(queue)
        if replace(rules.queue, paused=False) == declared.queue and rules.jobs == declared.jobs:
            self._operated.pop(queue, None)
        else:
            self._operated[queue] = rules
        return rules

    def _declared_rules(self, queue: str) -> QueueRules:
        if queue not in self._declared:
            self._declared[queue] = declared_rules(queue)
        return self._declared[queue]
