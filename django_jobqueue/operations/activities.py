"""The record of operations: who did what, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from django_jobqueue.conf import get_config
from django_jobqueue.errors import InvalidArgument, shown
from django_jobqueue.jobs import Secrets, registry
from django_jobqueue.models import Activity, Run, Schedule
from django_jobqueue.models.now import Now

LONGEST_ACTOR = 255
LONGEST_REASON = 10_000


class User(Protocol):
    """A user, of whatever model."""

    def get_username(self) -> str: ...


Actor: TypeAlias = User | str
"""Who carries an operation out: a user, or the name of a person or a program."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who carries an operation out, and why: fit to be kept."""

    actor: str
    reason: str


def author(actor: Actor, reason: str) -> Author:
    """Check who acts and why. Raises InvalidArgument."""
    return Author(_name(actor), _reason(reason))


def record(
    operation: str,
    by: Author,
    *,
    queue: str | None = None,
    run: Run | None = None,
    schedule: Schedule | None = None,
    detail: dict[str, Any] | None = None,
) -> Activity:
    """Write down an operation, in the transaction that carries it out."""
    config = get_config()
    return Activity.objects.using(config.database).create(
        namespace=config.namespace,
        operation=operation,
        actor=by.actor,
        reason=by.reason,
        queue=run.queue if run is not None else schedule.queue if schedule is not None else queue,
        run_id=run.pk if run is not None else None,
        schedule_name=schedule.name if schedule is not None else None,
        detail=_without_secrets(detail or {}, schedule),
        created_at=Now(),
    )


def _without_secrets(detail: dict[str, Any], schedule: Schedule | None) -> dict[str, Any]:
    """What is told of a *schedule* whose payload was made or changed, as everybody may see it who sees activities."""
    if schedule is None or "payload" not in detail:
        return detail
    of_one_job = not isinstance(detail.get("job"), list) and not isinstance(detail.get("queue"), list)
    secrets = registry.secrets(schedule.queue, schedule.job) if of_one_job else Secrets(everything=True)
    return detail | {"payload": secrets.redacted(detail["payload"])}


class Chronicle:
    """The record of an operation that takes many transactions: one activity, which each of them brings up to date."""

    def __init__(self, operation: str, by: Author, *, queue: str | None, detail: Mapping[str, Any]) -> None:
        self._operation = operation
        self._by = by
        self._queue = queue
        self._detail = detail
        self._written: Activity | None = None

    def write(self, counts: Mapping[str, int]) -> None:
        """Say how many there were so far, in the transaction of the latest of them."""
        detail = {**self._detail, **counts}
        if self._written is None:
            self._written = record(self._operation, self._by, queue=self._queue, detail=detail)
        else:
            self._written.detail = detail
            self._written.save(update_fields=["detail"])


def _name(actor: object) -> str:
    """The name of *actor*. A user who is not signed in has none."""
    name = actor.get_username() if hasattr(actor, "get_username") else actor
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_ACTOR or not name.isprintable():
        raise InvalidArgument(
            f"actor: must be a user, or text of 1 to {LONGEST_ACTOR} printable characters, got {shown(actor)}."
        )
    return name


def _reason(reason: object) -> str:
    """Text that every database can keep: without NUL and halves of surrogate pairs."""
    if (
        not isinstance(reason, str)
        or len(reason) > LONGEST_REASON
        or "\0" in reason
        or reason.encode("utf-8", "replace").decode() != reason
    ):
        raise InvalidArgument(f"reason: must be text of at most {LONGEST_REASON} characters, got {shown(reason)}.")
    return reason
