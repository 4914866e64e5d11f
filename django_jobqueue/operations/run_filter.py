"""Filters of runs: which runs an operation, or a list, is about."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django.conf import settings
from django.db.models import BooleanField, F, Q
from django.db.models.expressions import RawSQL
from django.utils import timezone

from django_jobqueue.conf import get_config
from django_jobqueue.conf.options import labels
from django_jobqueue.errors import ConfigError, InvalidArgument, UnknownQueue, shown
from django_jobqueue.jobs import registry
from django_jobqueue.models import RunQuerySet
from django_jobqueue.operations.selection import all_runs, parsed_id
from django_jobqueue.states import FINAL_STATES, Reason, State

BAD_ENDS = frozenset({"failed", "dead_lettered"})

INDEXED = BAD_ENDS | {"running"}
"""Where an index finds the runs, however few of them there are."""

# SQLite takes the partial index only where its condition stands here literally.
ENDED_BADLY = RawSQL("jobqueue_run.state IN ('failed', 'dead_lettered')", [], output_field=BooleanField())

STANDINGS: dict[str, Callable[[RunQuerySet], RunQuerySet]] = {
    "pending": lambda runs: runs.in_state(State.PENDING),
    "due": RunQuerySet.due,
    "scheduled": RunQuerySet.scheduled,
    "retrying": RunQuerySet.retrying,
    "running": lambda runs: runs.in_state(State.RUNNING),
    "completed": lambda runs: runs.in_state(State.COMPLETED),
    "failed": lambda runs: runs.filter(ENDED_BADLY).in_state(State.FAILED),
    "dead_lettered": lambda runs: runs.filter(ENDED_BADLY).in_state(State.DEAD_LETTERED),
    "cancelled": lambda runs: runs.in_state(State.CANCELLED),
}
"""Where a run may stand: its state, or a word that says more of a pending one."""

ENDED = sorted(FINAL_STATES)
LIVE = [standing for standing in STANDINGS if standing not in FINAL_STATES]

LONGEST_TEXT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """The runs for which all is true that is given. Raises InvalidArgument for what can be true of none."""

    ids: Collection[int] = ()
    queue: str | None = None
    job: str | None = None
    states: Collection[str] = ()
    """It stands at one of these: a state, or due, scheduled or retrying."""
    reason: str | None = None
    """Why it is in its final state."""
    since: datetime | None = None
    """It ended then or later; or, where it has not ended, was added then or later."""
    until: datetime | None = None
    """It ended, or was added, before that."""
    error: str | None = None
    """Its error contains this text, in capitals or not."""
    tags: Collection[str] = ()
    """It has all of these."""
    among: RunQuerySet | None = field(default=None, compare=False, repr=False)
    """It is one of these, for a face that shows its users only some. Alone it names no runs."""

    def __post_init__(self) -> None:
        for name in ("ids", "states"):
            _check_several(name, getattr(self, name))
        for run_id in self.ids:
            if parsed_id(run_id) is None:
                raise InvalidArgument(f"ids: {shown(run_id)} is the id of no run.")
        for state in self.states:
            _check_word("state", state, STANDINGS)
        if self.reason is not None:
            _check_word("reason", self.reason, [reason.value for reason in Reason])
        for name in ("queue", "job", "error"):
            _check_text(name, getattr(self, name))
        for name in ("since", "until"):
            _check_moment(name, getattr(self, name))
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise InvalidArgument(f"since: {self.since} is not before until, {self.until}: no run can be between them.")
        _check_tags("tags", self.tags)

    def __bool__(self) -> bool:
        """Whether anything is given that names runs."""
        return bool(self.given)

    @property
    def given(self) -> dict[str, Any]:
        """What names runs, by the names of the arguments."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "among"}
        return {name: value for name, value in values.items() if value}

    def runs(self) -> RunQuerySet:
        """These runs, in no order."""
        conditions: dict[str, Any] = {"queue": self.queue, "job": self.job, "reason": self.reason}
        found = all_runs(self.among).filter(**{name: value for name, value in conditions.items() if value is not None})
        if self.tags:
            found = found.tagged(*self.tags)
        if self.ids:
            found = found.filter(pk__in=self.ids)
        if self.error is not None:
            found = found.filter(error__icontains=self.error)
        if self.since is not None:
            found = found.filter(Q(finished_at__gte=self.since) | Q(finished_at=None, created_at__gte=self.since))
        if self.until is not None:
            found = found.filter(Q(finished_at__lt=self.until) | Q(finished_at=None, created_at__lt=self.until))
        if not self.states:
            return found
        if {*self.states} <= BAD_ENDS:
            found = found.filter(ENDED_BADLY)
        return reduce(or_, (STANDINGS[state](found) for state in self.states))

    def newest_first(self) -> RunQuerySet:
        """These runs, from the highest id down."""
        if self.states and {*self.states} <= INDEXED:
            # An expression, so that the index of the state leads: PostgreSQL might else walk down the primary key, hoping
            # to meet soon what may all be very old.
            return self.runs().order_by(F("pk") * -1)
        return self.runs().order_by("-pk")


def check_names(which: RunFilter) -> None:
    """Raise UnknownQueue or InvalidArgument for a queue or a job that neither this release nor any run knows.

    One that is declared no more may still have runs.
    """
    queues = get_config().queues
    if which.queue is not None and which.queue not in queues and not RunFilter(queue=which.queue).runs().exists():
        raise UnknownQueue(which.queue, queues)
    of_queues = [queue for queue in queues if which.queue in {None, queue}]
    if which.job is None or any(_is_job(queue, which.job) for queue in of_queues):
        return
    if not RunFilter(queue=which.queue, job=which.job).runs().exists():
        known = {name for queue in of_queues for name in registry.names(queue)}
        raise InvalidArgument.unknown("job", which.job, known)


def check_standings(which: RunFilter, possible: Collection[str], done: str) -> None:
    """Raise InvalidArgument for a state of which no run can be *done* what is to be: only *possible* ones can."""
    for state in which.states:
        if state not in possible:
            raise InvalidArgument(f"state: a {state} run cannot be {done}. Those that can: {', '.join(possible)}.")


def _is_job(queue: str, name: str) -> bool:
    """Whether *queue* has or had such a job, if only one that cannot work."""
    try:
        return registry.find(queue, name) is not None
    except ConfigError:
        return True


def _check_several(argument: str, values: object) -> None:
    """A text would be taken for its letters: the ids 1 and 2 for "12"."""
    if isinstance(values, str) or not isinstance(values, Collection):
        raise InvalidArgument(f"{argument}: must be a list, got {shown(values)}.")


def _check_word(argument: str, word: object, known: Collection[str]) -> None:
    if not isinstance(word, str) or word not in known:
        raise InvalidArgument.unknown(argument, word, known)


def _check_text(argument: str, text: object) -> None:
    if text is not None and (not isinstance(text, str) or not 1 <= len(text) <= LONGEST_TEXT or "\0" in text):
        raise InvalidArgument(f"{argument}: must be text of 1 to {LONGEST_TEXT} characters, got {shown(text)}.")


def _check_tags(argument: str, tags: object) -> None:
    try:
        labels(argument, tags)
    except ConfigError as error:
        raise InvalidArgument(f"{error}.") from None


def _check_moment(argument: str, moment: object) -> None:
    if moment is None:
        return
    if not isinstance(moment, datetime) or timezone.is_naive(moment) == settings.USE_TZ:
        kind = "an aware" if settings.USE_TZ else "a naive"
        raise InvalidArgument(f"{argument}: must be {kind} datetime, as timezone.now() gives it, got {shown(moment)}.")
