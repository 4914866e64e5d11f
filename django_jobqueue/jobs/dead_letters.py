"""The jobs that ``on_dead_letter`` names: which they are, and whether they can do their work."""

from __future__ import annotations

from collections.abc import Iterator

from django_jobqueue.conf import get_config
from django_jobqueue.errors import ConfigError, PayloadError, UnknownJob
from django_jobqueue.jobs.definition import JobDefinition
from django_jobqueue.jobs.registry import registry


def dead_letter_job(job: JobDefinition) -> JobDefinition | None:
    """The job that looks after dead-lettered runs of *job*, if it has one. Raises UnknownJob, or ConfigError.

    A job that has itself, because its queue names it for all, has none.
    """
    name = job.options.on_dead_letter
    if name is None:
        return None
    found = registry.find(job.queue, name) or _of_another_queue(name)
    if found is None:
        raise UnknownJob(job.queue, name, registry.names(job.queue))
    return None if _is_same(found, job) else found


def dead_letter_problems() -> Iterator[str]:
    """Everything that is wrong with any ``on_dead_letter``, in sentences."""
    for queue in get_config().queues.values():
        for name in registry.names(queue.name):
            try:
                job = registry.get(queue.name, name)
            except ConfigError:
                continue  # told already
            yield from _problems(job, of_queue=queue.job_defaults.get("on_dead_letter"))


def payload_of(run_id: int) -> dict[str, int]:
    """What a dead-letter job gets."""
    return {"run_id": run_id}


def _problems(job: JobDefinition, of_queue: str | None) -> Iterator[str]:
    where = f"Job {job.name!r} of queue {job.queue!r}: on_dead_letter"
    try:
        found = dead_letter_job(job)
    except UnknownJob as error:
        yield f"{where}: {error}"
        return
    except ConfigError:
        return  # told already
    if found is None:
        if job.options.on_dead_letter not in (None, of_queue):
            yield f"{where}: is the job itself. Name another one, or None."
        return
    try:
        found.payload_text(payload_of(1))
    except PayloadError as error:
        yield f"{where}: {found.name!r} would get the payload {{'run_id': ...}}. {error}"
    if _leads_back(found, job):
        yield f"{where}: {found.name!r} leads back to it, so one dead letter would follow the other without end."


def _leads_back(start: JobDefinition, job: JobDefinition) -> bool:
    seen: list[JobDefinition] = []
    following: JobDefinition | None = start
    while following is not None and not any(_is_same(following, one) for one in seen):
        seen.append(following)
        try:
            following = dead_letter_job(following)
        except (UnknownJob, ConfigError):
            return False  # told where it stands
        if following is not None and _is_same(following, job):
            return True
    return False


def _is_same(one: JobDefinition, other: JobDefinition) -> bool:
    return (one.queue, one.name) == (other.queue, other.name)


def _of_another_queue(name: str) -> JobDefinition | None:
    """The job that "queue.job" names; both names may have dots of their own."""
    queues = get_config().queues
    for at, letter in enumerate(name):
        if letter == "." and name[:at] in queues and (found := registry.find(name[:at], name[at + 1 :])):
            return found
    return None
