"""Uniqueness: of runs with the same key, one is let in, by a unique index of the database.

The lock that a run holds begins with a letter for how far it reaches: ``p`` until the run is claimed, ``l`` until it has
ended, ``w`` through a window of time. Whatever statement ends that reach takes the lock off the run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Inserted, NewRun
from django_jobqueue.errors import DuplicateRun, InvalidRun, KeyContested, shown
from django_jobqueue.jobs import JobDefinition
from django_jobqueue.jobs.keys import KEY_LENGTH
from django_jobqueue.models import Run
from django_jobqueue.operations.announcements import TO_CANCEL, announce_cancelled
from django_jobqueue.operations.canonical import canonical, digest
from django_jobqueue.states import OnDuplicate, Reason, State

LOCK_LENGTH = 64

HASH = re.compile(r"sha256:[0-9a-f]{64}")
"""What a key looks like that is not shown."""

MOST_ROUNDS = 100
"""Tries to insert a run whose key is held each time, and by nobody when one looks."""


class Existing(NamedTuple):
    """A run that was there already, and is the answer to an ``add()``."""

    id: int


def unique_fields(job: JobDefinition, payload_text: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a NewRun that make it unique, if its job is. *given* are those that the caller sets."""
    reach = job.options.unique
    if reach is None:
        if "unique_key" in given or given.get("on_duplicate", OnDuplicate.SKIP) != OnDuplicate.SKIP:
            argument = "unique_key" if "unique_key" in given else "on_duplicate"
            raise InvalidRun(f"{argument}: job {job.name!r} is not unique. Give it the option unique.")
        return {"on_duplicate": None}
    payload = json.loads(payload_text)
    key = _text(given["unique_key"] if "unique_key" in given else _key(job, payload))
    lock = digest([job.queue, job.name, _hashed(key)])
    shown = key if _may_be_shown(key, scrubbed=job.scrubber(payload)) else _hashed(key)
    fields = {"unique_key": shown, "on_duplicate": given.get("on_duplicate", OnDuplicate.SKIP)}
    if isinstance(reach, int):
        return fields | {"unique_lock": lock, "unique_seconds": reach}
    return fields | {"unique_lock": f"{reach[0]}{lock}"[:LOCK_LENGTH]}


def in_windows(news: Sequence[NewRun]) -> Sequence[NewRun]:
    """Let each lock that is for a window name it: the one of now, by the clock of the database."""
    if all(new.unique_seconds is None for new in news):
        return news
    now = engine_for(get_config().database).now()
    return [_in_window(new, now) for new in news]


def insert_unique(news: Sequence[NewRun]) -> list[Inserted | Existing]:
    """Insert *news*, but for those whose lock a run holds already: that run is their answer, or an error.

    The transaction of the caller goes on, whatever comes of it. Raises DuplicateRun or KeyContested.
    """
    news = in_windows(news)
    if all(new.on_duplicate != OnDuplicate.REPLACE for new in news):
        return _decided(news)
    alias = get_config().database
    engine = engine_for(alias)
    with engine.alone({new.unique_lock for new in news if new.unique_lock is not None}):
        return engine.insist(partial(transaction.atomic(using=alias)(_decided), news))


def _decided(news: Sequence[NewRun]) -> list[Inserted | Existing]:
    """Insert, and replace, until it is decided about each: several writes, where runs are replaced."""
    batch = _Batch(news)
    for _ in range(MOST_ROUNDS):
        batch.insert()
        if batch.waiting:
            batch.look_at_holders()
        if not batch.waiting:
            return batch.answers()
    kept_out = batch.kept_out()
    raise KeyContested(kept_out.queue, kept_out.job, f"unique_key {shown(kept_out.unique_key)}", MOST_ROUNDS)


class _Batch:
    """Runs on their way in. Of those that have the same lock, one goes ahead, and what comes of it goes for all."""

    def __init__(self, news: Sequence[NewRun]) -> None:
        self._news = news
        self._ahead = _ahead(news)
        self._strict = {
            new.unique_lock: place for place, new in enumerate(news) if new.on_duplicate == OnDuplicate.RAISE
        }
        self._found: dict[int, Inserted | Existing] = {}
        self.waiting = sorted(set(self._ahead))
        config = get_config()
        self._engine, self._namespace = engine_for(config.database), config.namespace
        self._runs = Run.objects.using(config.database).filter(namespace=config.namespace)

    def insert(self) -> None:
        """Insert those that wait; the others, whose lock is held, go on waiting."""
        rows = self._engine.insert_unique(self._namespace, [self._news[place] for place in self.waiting])
        self._found |= {place: row for place, row in zip(self.waiting, rows, strict=True) if row is not None}
        self.waiting = [place for place in self.waiting if place not in self._found]

    def look_at_holders(self) -> None:
        """Find the runs that hold the locks, and replace those that are to be replaced.

        A holder that is gone by now, or replaced, leaves its lock to who still waits.
        """
        holders = self._holders()
        replaced = []
        for place in self.waiting:
            new = self._news[place]
            holder = holders.get(str(new.unique_lock))
            if holder is None:
                continue
            if (strict := self._strict.get(new.unique_lock)) is not None:
                raise DuplicateRun(new.queue, new.job, str(new.unique_key), holder.pk, position=strict)
            if new.on_duplicate == OnDuplicate.REPLACE and holder.state == State.PENDING:
                replaced.append(holder)
            else:
                self._found[place] = Existing(holder.pk)
        self.waiting = [place for place in self.waiting if place not in self._found]
        if replaced:
            self._runs.filter(pk__in=[run.pk for run in replaced]).replace_pending()
            announce_cancelled(replaced, Reason.REPLACED)

    def kept_out(self) -> NewRun:
        """The first of those that still wait."""
        return self._news[self.waiting[0]]

    def answers(self) -> list[Inserted | Existing]:
        return [
            self._found[ahead] if ahead == place else Existing(self._found[ahead].id)
            for place, ahead in enumerate(self._ahead)
        ]

    def _holders(self) -> dict[str, Run]:
        """The runs that hold the locks of those that wait. One that may be replaced is kept from being claimed."""
        waiting = [self._news[place] for place in self.waiting]
        locks = {new.unique_lock for new in waiting}
        runs = self._runs.filter(unique_lock__in=locks)
        if any(new.on_duplicate == OnDuplicate.REPLACE for new in waiting):
            # By their ids, which nobody changes: where others insert meanwhile, MySQL must not lock the index of the locks.
            ids = list(runs.values_list("pk", flat=True))
            runs = self._runs.filter(pk__in=ids).select_for_update()
        found = runs.only(*TO_CANCEL, "unique_lock")
        return {str(run.unique_lock): run for run in found if run.unique_lock in locks}


def _ahead(news: Sequence[NewRun]) -> list[int]:
    """For each run the place of the one that goes ahead for it: the first with its lock, or the last that replaces."""
    leaders: dict[str | int, int] = {}
    locks: list[str | int] = [place if new.unique_lock is None else new.unique_lock for place, new in enumerate(news)]
    for place, (lock, new) in enumerate(zip(locks, news, strict=True)):
        if lock in leaders and new.on_duplicate == OnDuplicate.RAISE:
            raise DuplicateRun(new.queue, new.job, str(new.unique_key), None, position=place)
        if lock not in leaders or new.on_duplicate == OnDuplicate.REPLACE:
            leaders[lock] = place
    return [leaders[lock] for lock in locks]


def _in_window(new: NewRun, now: datetime) -> NewRun:
    """Windows are aligned: they begin at multiples of their length. The lock tells, in the clear, when its window ends."""
    if new.unique_seconds is None:
        return new
    end = (int(now.timestamp()) // new.unique_seconds + 1) * new.unique_seconds
    return new._replace(unique_lock=f"w{end:010d}{new.unique_lock}"[:LOCK_LENGTH], unique_seconds=None)


def _key(job: JobDefinition, payload: Mapping[str, Any]) -> object:
    return payload if job.unique_key is None else job.unique_key(payload)


def _text(key: object) -> str:
    """The key as one searches for it: a text as it is, all else as JSON."""
    return key if isinstance(key, str) else canonical(key)


def _may_be_shown(key: str, *, scrubbed: Callable[[str], str]) -> bool:
    """Whether the column holds the key, and it holds no secret of the payload."""
    return len(key) <= KEY_LENGTH and key.isprintable() and scrubbed(key) == key


def _hashed(key: str) -> str:
    """What stands for a key that is not shown. A hash stands for itself, so that a stored key means what it came from."""
    return key if HASH.fullmatch(key) else f"sha256:{sha256(key.encode()).hexdigest()}"
