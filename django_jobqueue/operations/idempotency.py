"""Idempotency keys: a request that is made twice with the same key makes one run.

A key belongs to a job. The row that remembers it is written in the transaction that adds its run, so that a rollback
takes both, and whoever adds the same key meanwhile waits for that transaction. It outlives the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Inserted, KeptKey, NewRun
from django_jobqueue.errors import AlreadyAdded, IdempotencyConflict, KeyContested
from django_jobqueue.jobs import JobDefinition
from django_jobqueue.models import IdempotencyKey
from django_jobqueue.operations.canonical import digest
from django_jobqueue.operations.uniqueness import MOST_ROUNDS, Existing

Rows: TypeAlias = list[Inserted | Existing]

ARGUMENTS = ("priority", "max_attempts", "timeout_seconds", "tenant", "user")
"""What must be the same beside the payload. Times, traces and metadata tell of the request, and change with each."""


def key_fields(job: JobDefinition, payload_text: str, given: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a NewRun that tell of its key. *given* are the fields that the caller sets, the key among them."""
    arguments = [json.loads(payload_text), *(given.get(name) for name in ARGUMENTS)]
    return {
        "idempotency_key": digest([job.queue, job.name, given["idempotency_key"]]),
        "arguments_hash": digest(arguments),
    }


def insert_once(news: Sequence[NewRun], insert: Callable[[Sequence[NewRun]], Rows]) -> Rows:
    """*insert* what has no key, or a new one; the first run that a key made is the answer to all who come later.

    Raises IdempotencyConflict where a key is given again with other arguments, and what *insert* raises.
    """
    first = _first_places(news)
    insist = engine_for(get_config().database).insist
    found: dict[int, Inserted | Existing] = {}
    for _ in range(MOST_ROUNDS):
        places = [place for place in sorted(set(first)) if place not in found]
        rows, taken = insist(partial(_try, news, places, insert)) if places else ({}, [])
        if not taken:
            found |= rows
            return [
                found[leader] if leader == place else Existing(found[leader].id) for place, leader in enumerate(first)
            ]
        found |= _runs_of(news, taken)
    kept_out = news[taken[0]]
    raise KeyContested(kept_out.queue, kept_out.job, "idempotency_key", MOST_ROUNDS)


def _try(
    news: Sequence[NewRun], places: Sequence[int], insert: Callable[[Sequence[NewRun]], Rows]
) -> tuple[dict[int, Inserted | Existing], list[int]]:
    """Insert what stands at *places*, with the keys. Where some keys are taken, nothing is: answer which."""
    config = get_config()
    with transaction.atomic(using=config.database):
        try:
            rows = dict(zip(places, insert([news[place] for place in places]), strict=True))
        except AlreadyAdded as error:
            error.position = places[error.position]
            raise
        keyed = {str(news[place].idempotency_key): place for place in places if news[place].idempotency_key}
        keys = [KeptKey(key, str(news[place].arguments_hash), rows[place].id) for key, place in keyed.items()]
        engine = engine_for(config.database)
        kept = engine.keep_keys(config.namespace, keys, seconds=config.idempotency_seconds) if keys else set()
        taken = [place for key, place in keyed.items() if key not in kept]
        if taken:
            transaction.set_rollback(True, using=config.database)
    return rows, taken


def _first_places(news: Sequence[NewRun]) -> list[int]:
    """For each run the place of the first in the batch that has its key."""
    first: dict[str, int] = {}
    places = []
    for place, new in enumerate(news):
        leader = place if new.idempotency_key is None else first.setdefault(new.idempotency_key, place)
        if news[leader].arguments_hash != new.arguments_hash:
            raise IdempotencyConflict(new.queue, new.job, None, position=place)
        places.append(leader)
    return places


def _runs_of(news: Sequence[NewRun], taken: Sequence[int]) -> dict[int, Existing]:
    """The runs that the keys have made. A key that is forgotten by now is left out."""
    config = get_config()
    rows = IdempotencyKey.objects.using(config.database).filter(
        namespace=config.namespace, key_hash__in=[news[place].idempotency_key for place in taken]
    )
    kept = {row.key_hash: row for row in rows}
    found = {}
    for place in taken:
        new = news[place]
        if (row := kept.get(str(new.idempotency_key))) is None:
            continue
        if row.arguments_hash != new.arguments_hash:
            raise IdempotencyConflict(new.queue, new.job, row.run_id, position=place)
        found[place] = Existing(row.run_id)
    return found
