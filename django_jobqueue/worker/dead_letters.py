"""Dead letters: the runs that ``on_dead_letter`` asks for, added in the transaction that dead-letters."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Claim, LostRun, NewRun, Ref, Settlement
from django_jobqueue.errors import JobQueueError
from django_jobqueue.jobs import registry
from django_jobqueue.jobs.dead_letters import dead_letter_job, payload_of
from django_jobqueue.operations.at_once import work_at_once
from django_jobqueue.operations.inserting import insert_many
from django_jobqueue.operations.new_runs import new_run
from django_jobqueue.states import State

logger = logging.getLogger(__name__)

Followers: TypeAlias = dict[Ref, NewRun]


def followers_of(ends: Iterable[tuple[Claim | LostRun, Settlement]]) -> Followers:
    """What is to be added for those runs that are about to be dead-lettered.

    It asks the project, by ``on_before_add``, and so is not called in the transaction that settles.
    """
    followers: Followers = {}
    for run, settlement in ends:
        if settlement.state == State.DEAD_LETTERED and (follower := _follower_of(run)) is not None:
            followers[run.ref] = follower
    return followers


def add_followers(followers: Followers, states: Mapping[Ref, State]) -> None:
    """Add those whose run was dead-lettered indeed, in the caller's transaction.

    One that the database refuses does not keep the dead letter from being written, nor others.
    """
    if new := {ref: follower for ref, follower in followers.items() if states.get(ref) == State.DEAD_LETTERED}:
        try:
            ids = _insert(new)
        except Exception as error:
            if engine_for(get_config().database).is_passing(error):
                raise
            ids = _insert_each(new)
        work_at_once(ids)


def _insert(followers: Followers) -> list[int]:
    with transaction.atomic(using=get_config().database):
        return [row.id for row in insert_many(list(followers.values()))]


def _insert_each(followers: Followers) -> list[int]:
    ids: list[int] = []
    for ref, follower in followers.items():
        try:
            ids += _insert({ref: follower})
        except Exception as error:
            if engine_for(get_config().database).is_passing(error):
                raise
            logger.exception("Run %d is dead-lettered, and nobody told: %s.%s.", ref.id, follower.queue, follower.job)
    return ids


def _follower_of(run: Claim | LostRun) -> NewRun | None:
    try:
        job = registry.find(run.queue, run.job)
        following = None if job is None else dead_letter_job(job)
        return None if following is None else new_run(following.queue, following.name, payload_of(run.id))
    except JobQueueError as error:
        logger.error("Run %d (%s.%s) is dead-lettered, and nobody told: %s", run.id, run.queue, run.job, error)
    except Exception:
        logger.exception("Run %d (%s.%s) is dead-lettered, and nobody told.", run.id, run.queue, run.job)
    return None
