"""Jobs: the functions that may be run. What declares them, what they may ask for, and where they are found."""

from django_jobqueue.jobs.context import RunContext
from django_jobqueue.jobs.definition import Declaration, JobDefinition
from django_jobqueue.jobs.outcomes import Cancel, Fail, JobSignal, Later, Retry, Snooze
from django_jobqueue.jobs.registry import JobRegistry, registry

__all__ = [
    "Cancel",
    "Declaration",
    "Fail",
    "JobDefinition",
    "JobRegistry",
    "JobSignal",
    "Later",
    "Retry",
    "RunContext",
    "Snooze",
    "registry",
]
