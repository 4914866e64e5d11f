"""What is asked of a new run, checked: from the arguments of ``add()`` to the values that an engine inserts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, Unpack

from django.utils import timezone

from django_jobqueue.conf.options import MOST_TAGS
from django_jobqueue.engines.base import NewRun
from django_jobqueue.errors import InvalidRun, JobQueueError, nearest, shown
from django_jobqueue.jobs import JobDefinition, registry
from django_jobqueue.jobs.places import place_of
from django_jobqueue.operations import arguments
from django_jobqueue.operations.idempotency import key_fields
from django_jobqueue.operations.uniqueness import unique_fields
from django_jobqueue.payloads import MAPPINGS, Payload


class Keyed(Protocol):
    """An instance of a model, or an anonymous user."""

    @property
    def pk(self) -> Any: ...


Key: TypeAlias = Keyed | str | int | None
"""How one names somebody: by an instance of a model, or by its key."""

Tags: TypeAlias = list[str] | tuple[str, ...] | set[str] | frozenset[str]
"""Not any collection of texts, for a text is one of its letters."""


class AddOptions(TypedDict, total=False):
    """What ``add()`` takes beside the job and its payload."""

    next_run_at: datetime | str | None
    """A datetime, ISO-8601 text, or "now"; None: now."""
    delay_seconds: float | None
    """Seconds from now; instead of *next_run_at*."""
    priority: int | None
    """From -100 to 100, higher first; None: the job's."""
    idempotency_key: str | None
    """Makes one run, however often it is given: 1 to 255 characters."""
    unique_key: str | None
    """What makes the run of a unique job the same as another; None: what the job's ``unique_key`` says."""
    on_duplicate: Literal["skip", "raise", "replace"]
    """What becomes of it where such a run is there: ``skip`` answers with that one, ``raise`` is a DuplicateRun,
    ``replace`` cancels that one if it is pending."""
    max_attempts: int | None
    """Failures after which the run is dead-lettered, from 1 to 1000; None: the job's, as it is when the run fails."""
    timeout_seconds: float | None
    """How long each attempt may take, from 0.1 seconds to 7 days; None: as the job's ``timeout_seconds``."""
    expires_at: datetime | str | None
    """When the run is cancelled, if it has not been started by then; None: as the job's ``expires_after_seconds``."""
    concurrency_key: Key
    """What ``concurrent_jobs_per_key`` counts the run by; None: as the job's ``concurrency_key`` finds it."""
    rate_key: Key
    """What ``rate_limit`` counts the run by; None: as the job's ``rate_key`` finds it."""
    tags: Tags
    """Labels, beside those of the job: at most 20, each of 1 to 64 characters."""
    tenant: Key
    """Whom the run is for: an instance of a model, or its key."""
    user: Key
    """Who wants the run: an instance of a model, or its key. An anonymous user is nobody."""
    trace_id: str | None
    """The trace that the run belongs to."""
    metadata: Mapping[str, Any] | None
    """More about the run, as JSON. The job sees it in its context."""


ITEM_KEYS = {"job", "payload", *AddOptions.__annotations__}


def new_runs(queue: str, items: Iterable[Mapping[Any, Any]]) -> Iterator[NewRun | None]:
    """``new_run`` of each item, a mapping of its arguments; an error names the index of the item."""
    for index, item in enumerate(items):
        try:
            if not isinstance(item, MAPPINGS):
                raise InvalidRun(f"must be a mapping of the arguments of add(), got {shown(item)}.")
            if not ITEM_KEYS.issuperset(item):
                unknown = next(key for key in item if key not in ITEM_KEYS)
                raise InvalidRun(f"{shown(unknown)} is not an argument. {nearest(unknown, ITEM_KEYS)}")
            if "job" not in item:
                raise InvalidRun("'job' is missing.")
            yield new_run(queue, **item)
        except JobQueueError as error:
            error.args = (f"item {index}: {error}",)
            raise


def new_run(queue: str, job: str, payload: Payload | None = None, **options: Unpack[AddOptions]) -> NewRun | None:
    """A run of *job*; None, if the job's ``on_before_add`` does not let it be added.

    Raises UnknownQueue, UnknownJob, PayloadError or InvalidRun, and whatever ``on_before_add`` raises.
    """
    definition = registry.get(queue, job)
    of_job = definition.options
    text = definition.payload_text(payload)
    given = arguments.checked(options)
    if options.get("next_run_at") is not None and options.get("delay_seconds") is not None:
        raise InvalidRun("Give next_run_at or delay_seconds, not both.")
    if "expires_at" in given:
        _check_expiry(options["expires_at"], **given)
    if of_job.tags or "tags" in given:
        given["tags"] = _all_tags(of_job.tags, given.get("tags", ()))
    if of_job.unique is not None or "unique_key" in given or "on_duplicate" in given:
        given |= unique_fields(definition, text, given)
    if "idempotency_key" in given:
        given |= key_fields(definition, text, given)
    defaults = {"priority": of_job.priority, "expires_after_seconds": of_job.expires_after_seconds}
    new = NewRun(
        queue=queue,
        job=definition.name,
        payload_text=text,
        version=of_job.version,
        delivery=of_job.delivery,
        **(defaults | given),
    )
    if definition.concurrency_key is not None or definition.rate_key is not None:
        new = _with_keys(new, definition)
    return new if definition.on_before_add is None or _may_add(definition.on_before_add, new) else None


def _with_keys(new: NewRun, definition: JobDefinition) -> NewRun:
    """*New* with the keys that its job finds in its payload, as far as none is given."""
    found: dict[str, Any] = {}
    for name, key_of in (("concurrency_key", definition.concurrency_key), ("rate_key", definition.rate_key)):
        if key_of is not None and getattr(new, name) is None:
            value = key_of(new.payload)
            if value is not None and value != "":
                found[name] = arguments.key(name, value)
    return new._replace(**found)


def _may_add(on_before_add: Callable[[NewRun], object], new: NewRun) -> bool:
    """Ask the project. A function that forgets to answer, or that answers with a coroutine, is a mistake."""
    answer = on_before_add(new)
    if not isinstance(answer, bool):
        raise TypeError(f"{place_of(on_before_add)}() must answer True or False, got {shown(answer)}.")
    return answer


def _check_expiry(
    said: object, *, expires_at: datetime, run_at: datetime | None = None, delay_seconds: float = 0, **_: Any
) -> None:
    due = (run_at or timezone.now()) + timedelta(seconds=delay_seconds)
    if expires_at <= due:
        raise InvalidRun(f"expires_at: {shown(said)} is not later than the run is due, so it would never start.")


def _all_tags(of_job: tuple[str, ...], given: tuple[str, ...]) -> tuple[str, ...] | None:
    """The tags of the job, and then those of the run that it has not; None for none."""
    together = tuple(dict.fromkeys(of_job + given))
    if len(together) > MOST_TAGS:
        raise InvalidRun(f"tags: with those of the job these are {len(together)}, and {MOST_TAGS} are allowed.")
    return together or None
