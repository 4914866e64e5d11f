"""Checking what waits: would the code of this release work it?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from django_jobqueue.conf import external_queues, get_config
from django_jobqueue.errors import ConfigError, JobQueueError, PayloadError
from django_jobqueue.jobs import JobDefinition, registry
from django_jobqueue.models import Schedule
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.selection import all_runs

BATCH = 200
"""Rows that one query reads; the payload of each may be large."""
MOST_SHOWN = 5
"""Runs, and schedules, that are named of one problem."""
MOST_PROBLEMS = 100
"""Problems of one job that are told apart: where keys are data, each payload may have its own."""


@dataclass(slots=True)
class Some:
    """How many there are of something, and the first of them."""

    count: int = 0
    first: list[Any] = field(default_factory=list)

    def add(self, one: object) -> None:
        self.count += 1
        if len(self.first) < MOST_SHOWN:
            self.first.append(one)


@dataclass(slots=True)
class Problem:
    """What is wrong with some of the runs and schedules of one job."""

    queue: str
    job: str
    problem: str
    """In words, without any value of a payload."""
    runs: Some = field(default_factory=Some)
    """By their ids."""
    schedules: Some = field(default_factory=Some)
    """By their names."""


@dataclass(frozen=True, slots=True)
class Checked:
    """How much was looked at, and what was found, job by job."""

    runs: int
    schedules: int
    problems: list[Problem]


@operation("jobs.check_pending", auth=Auth.ADMIN)
def check_pending() -> Checked:
    """Hold each run that has not ended, and each enabled schedule, to the jobs as this release has them.

    Those of external queues are left to the deployment that works them.
    It takes the memory of one batch, however many there are.
    """
    findings = _Findings()
    runs = _check_runs(findings)
    schedules = _check_schedules(findings)
    return Checked(runs, schedules, findings.sorted())


def _check_runs(findings: _Findings) -> int:
    count = 0
    for run_id, queue, job, payload, version in _walk(_ours(all_runs().live()), "queue", "job", "payload", "version"):
        count += 1
        if problem := findings.of(queue, job, JobDefinition.check_stored, payload, version):
            problem.runs.add(run_id)
    return count


def _check_schedules(findings: _Findings) -> int:
    count = 0
    columns = ("queue", "job", "name", "payload", "payload_function")
    for _, queue, job, name, payload, function in _walk(_ours(_enabled_schedules()), *columns):
        count += 1
        check = JobDefinition.payload_text if function is None else _nothing_more
        if problem := findings.of(queue, job, check, payload):
            problem.schedules.add(name)
    return count


def _nothing_more(job: JobDefinition, payload: object) -> None:
    """The job is there, and that is all that can be known: the payload is made when the schedule fires."""


class _Findings:
    """All problems, each once."""

    def __init__(self) -> None:
        self._by_job: dict[tuple[str, str], dict[str, Problem]] = {}

    def of(self, queue: str, job: str, check: Callable[..., object], *arguments: object) -> Problem | None:
        """The problem of which *check* complains, called with the job and the *arguments*; None if it does not."""
        flaw = _flaw(queue, job, check, *arguments)
        if flaw is None:
            return None
        known = self._by_job.setdefault((queue, job), {})
        if flaw not in known and len(known) >= MOST_PROBLEMS:
            flaw = "has other problems, too many to tell apart."
        return known.setdefault(flaw, Problem(queue, job, flaw))

    def sorted(self) -> list[Problem]:
        problems = [problem for of_job in self._by_job.values() for problem in of_job.values()]
        return sorted(problems, key=lambda each: (each.queue, each.job, -each.runs.count, each.problem))


def _flaw(queue: str, job: str, check: Callable[..., object], *arguments: object) -> str | None:
    try:
        check(registry.get(queue, job), *arguments)
    except PayloadError as error:
        return error.general
    except ConfigError as error:
        return error.problems[0]
    except JobQueueError as error:
        return str(error)
    except Exception as error:  # a validator of the project may do anything
        return f"checking the payload raised {type(error).__name__}."
    return None


def _enabled_schedules() -> QuerySet[Schedule]:
    config = get_config()
    return Schedule.objects.using(config.database).filter(namespace=config.namespace, enabled=True)


def _ours(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Those of *rows* that this deployment works."""
    external = external_queues()
    return rows.exclude(queue__in=external) if external else rows


def _walk(rows: QuerySet[Any], *columns: str) -> Iterator[tuple[Any, ...]]:
    """The key and the *columns* of all *rows*, batch by batch; no snapshot is held, and what is added behind comes too."""
    last = 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", *columns)[:BATCH]):
        yield from batch
        last = batch[-1][0]
