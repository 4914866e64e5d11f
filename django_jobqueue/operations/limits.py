"""Operations on limits: operators set others than the settings, for a while or for good."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.conf.options import Parser, rate, whole
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import ConfigError, InvalidArgument, JobQueueError, shown
from django_jobqueue.jobs import registry
from django_jobqueue.limiting.rules import declared_rules, operated_rules, states
from django_jobqueue.limiting.sweep import sweep_on_commit
from django_jobqueue.limits import NO_RULES
from django_jobqueue.operations.activities import Actor, author, record
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.overrides import override, restore
from django_jobqueue.operations.queues import known_queue, to_come
from django_jobqueue.transports.publisher import publish_on_commit

LimitOption: TypeAlias = Literal["concurrent_jobs", "concurrent_jobs_per_key", "rate_limit"]
LIMIT_OPTIONS: tuple[str, ...] = get_args(LimitOption)

MOST = 2**31 - 1
"""The largest number that its column holds."""

CHECKS: Mapping[str, Parser[Any]] = {
    "concurrent_jobs": whole(1, MOST),
    "concurrent_jobs_per_key": whole(1, MOST),
    "rate_limit": rate,
}


@operation("queues.set_limit", auth=Auth.ADMIN)
def set_limit(
    queue: str,
    limit: LimitOption,
    value: int | str,
    *,
    actor: Actor,
    reason: str = "",
    job: str = "",
    until: datetime | None = None,
) -> None:
    """Let *limit* of a queue, or of one *job* of it, be *value* instead of what the settings say, for good or *until*.

    It takes effect at the next claim; running runs continue. A rate that is set this way has no burst. Raises UnknownQueue,
    UnknownJob or InvalidArgument.
    """
    name, by, until = _known(queue, limit, job), author(actor, reason), to_come(until)
    stored = _checked(queue, name, limit, value)
    with transaction.atomic(using=get_config().database):
        override(queue, name, {limit: stored, f"{limit}_until": until})
        detail = {"limit": limit, "value": stored} | ({"job": name} if name else {})
        detail |= {"until": until.isoformat()} if until else {}
        record(set_limit.key, by, queue=queue, detail=detail)
        sweep_on_commit(queue)
        publish_on_commit([queue])


@operation("queues.clear_limit", auth=Auth.ADMIN)
def clear_limit(queue: str, limit: LimitOption, *, actor: Actor, reason: str = "", job: str = "") -> bool:
    """Let *limit* of a queue, or of one *job* of it, be what the settings say. Answers whether it was set.

    Raises UnknownQueue, UnknownJob or InvalidArgument.
    """
    name, by = _known(queue, limit, job), author(actor, reason)
    with transaction.atomic(using=get_config().database):
        changed = restore(queue, name, limit, f"{limit}_until")
        if changed:
            record(clear_limit.key, by, queue=queue, detail={"limit": limit} | ({"job": name} if name else {}))
            sweep_on_commit(queue)
            publish_on_commit([queue])
    return changed


def limit_value(text: str) -> int | str:
    """What somebody typed as the value of a limit: a whole number, or a rate."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text


def unkeyed(queue: str, limit: str, job: str = "") -> str | None:
    """What to tell whoever limits keys where no job finds any in its payloads; None, where one does."""
    if limit != "concurrent_jobs_per_key" or any(
        map(partial(_finds_keys, queue), [job] if job else registry.names(queue))
    ):
        return None
    who = f"Job {job!r}" if job else f"No job of queue {queue!r}"
    return f"{who} declares {'no' if job else 'a'} concurrency_key: only runs that add() gives one are limited."


def _finds_keys(queue: str, job: str) -> bool:
    try:
        return registry.get(queue, job).concurrency_key is not None
    except JobQueueError:
        return False


def _known(queue: str, limit: object, job: str) -> str:
    """Check what is to be limited; answer with the name of the job, or an empty one for the queue as a whole."""
    known_queue(queue)
    if limit not in LIMIT_OPTIONS:
        raise InvalidArgument.unknown("limit", limit, LIMIT_OPTIONS)
    return registry.get(queue, job).name if job else ""


def _checked(queue: str, job: str, limit: LimitOption, value: object) -> int | str:
    """*Value* as it is stored."""
    try:
        parsed = CHECKS[limit](limit, value)
    except ConfigError as error:
        raise InvalidArgument(f"{error}.") from None
    if limit == "concurrent_jobs_per_key":
        _check_keys(queue, job, parsed)
    return parsed if isinstance(parsed, int) else str(parsed)


def _check_keys(queue: str, job: str, most: int) -> None:
    """Refuse what would loosen the limit of keys that holds: their order, or that of the queue for a job without its own."""
    declared = declared_rules(queue)
    rules = operated_rules(
        declared, states(get_config().namespace, queue, declared), now=engine_for(get_config().database).now()
    )
    own = rules.jobs.get(job, NO_RULES) if job else rules.queue
    if own.keep_order and most != 1:
        raise InvalidArgument(f"concurrent_jobs_per_key: must be 1 where keep_order is declared, got {shown(most)}.")
    if job and own.concurrent_jobs_per_key is None and rules.queue.concurrent_jobs_per_key is not None:
        raise InvalidArgument(
            f"concurrent_jobs_per_key: the keys of job {job!r} count in queue {queue!r}, which limits them. Set it for the queue."
        )
