"""What is wrong or unwise in jobs, in what queues say for them, and in schedules."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress

from django.core.checks import CheckMessage, Error, Warning

from django_jobqueue.conf import Config, QueueConfig
from django_jobqueue.errors import ConfigError, JobQueueError, nearest
from django_jobqueue.jobs import registry
from django_jobqueue.jobs.dead_letters import dead_letter_problems
from django_jobqueue.operations.schedule_sync import schedule_problems
from django_jobqueue.payloads.kinds import UnknownName

COUNTED_BY = {"concurrency_key": "concurrent_jobs_per_key", "rate_key": "rate_limit"}
"""The keys of runs, each with the limit that counts by it."""
KEY_OF_QUEUE = {"rate_limit": " (that of a queue counts by key only if the queue declares rate_key itself)"}


def check_jobs(config: Config) -> Iterator[CheckMessage]:
    """Report every job that cannot work (jobqueue.E002)."""
    hint = "Correct the declaration of the job: it can neither be added nor run."
    for problem in registry.problems():
        yield Error(problem, hint=hint, id="jobqueue.E002")
    hint = "Correct on_dead_letter: nobody would be told of a run that is dead-lettered."
    for problem in dead_letter_problems():
        yield Error(problem, hint=hint, id="jobqueue.E002")
    hint = "Move it to the top of its module. If it is there, but decorated, use functools.wraps in the decorator."
    for problem in _nested_functions(config):
        yield Error(problem, hint=hint, id="jobqueue.E002")


def check_keys(config: Config) -> Iterator[CheckMessage]:
    """Warn of keys that no limit counts by (jobqueue.W005)."""
    for key, limit in COUNTED_BY.items():
        hint = (
            f"Declare {limit} beside it{KEY_OF_QUEUE.get(limit, '')}, or leave {key} out. "
            "If only operators set that limit, silence this with SILENCED_SYSTEM_CHECKS."
        )
        for queue in config.queues.values():
            for place in _with_unread(key, limit, queue):
                message = f"{place} declares {key}, but no {limit} counts by it."
                yield Warning(message, hint=hint, id="jobqueue.W005")


def check_fields(config: Config) -> Iterator[CheckMessage]:
    """Warn of fields that a queue names, and that no payload of its jobs has (jobqueue.W006)."""
    hint = "Correct the name: as it is, it concerns no run of the queue."
    for queue in config.queues.values():
        for option in (*COUNTED_BY, "secret"):
            for field in _named_fields(queue.job_defaults.get(option)):
                if wrong := _unknown_field(queue.name, option, field):
                    message = f"there is no {wrong.name!r} in the payload of any of its jobs. {nearest(*wrong)}"
                    yield Warning(f"Queue {queue.name!r}: {option}: {message}", hint=hint, id="jobqueue.W006")


def check_schedules() -> Iterator[CheckMessage]:
    """Report every schedule that cannot make runs (jobqueue.E004)."""
    hint = "Correct the declaration of the schedule: none of its due times would make a run."
    for problem in schedule_problems():
        yield Error(problem, hint=hint, id="jobqueue.E004")


def _nested_functions(config: Config) -> Iterator[str]:
    """Tell of the jobs that code declares, but that no other process finds by their name."""
    for queue in config.queues.values():
        in_settings = {name for name, job in queue.jobs.items() if job.run is not None}
        for name in registry.names(queue.name):
            if name in in_settings:
                continue
            try:
                function = registry.get(queue.name, name).function
            except ConfigError:
                continue  # told already
            path = str(getattr(function, "__qualname__", ""))
            if "<locals>" in path or "<lambda>" in path:
                yield (
                    f"Job {name!r} of queue {queue.name!r} is {function.__module__}.{path}, "
                    f"which cannot be imported by that name."
                )


def _with_unread(key: str, limit: str, queue: QueueConfig) -> Iterator[str]:
    """Tell who declares a *key* in vain: jobs of *queue*, or it itself, if none of its jobs has the *limit*."""
    of_queue = queue.job_defaults.get(key)
    if getattr(queue, limit) is not None and (key == "concurrency_key" or of_queue is not None):
        return
    unread = {}
    for name in registry.names(queue.name):
        with suppress(JobQueueError):  # told already
            options = registry.get(queue.name, name).options
            unread[name] = getattr(options, key) if getattr(options, limit) is None else None
    for name, of_job in unread.items():
        if of_job is not None and of_job != of_queue:
            yield f"Job {name!r} of queue {queue.name!r}"
    if of_queue is not None and None not in unread.values():
        yield f"Queue {queue.name!r}"


def _named_fields(option: object) -> Collection[str]:
    """The payload fields that an option names; a key with a dot is the path of a function."""
    if isinstance(option, str):
        return () if "." in option else (option,)
    return option if isinstance(option, Collection) else ()


def _unknown_field(queue: str, option: str, field: str) -> UnknownName | None:
    """What of *field* none of the jobs has that get it from *queue*."""
    unknown = []
    for name in registry.names(queue):
        with suppress(JobQueueError):  # told already
            job = registry.get(queue, name)
            if field in _named_fields(getattr(job.options, option)):
                unknown.append(job.schema.unknown_name(field.split(".")))
    found = [name for name in unknown if name is not None]
    if not found or len(found) < len(unknown):
        return None
    return UnknownName(found[0].name, {known for name in found for known in name.known})
