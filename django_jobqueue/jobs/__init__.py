"""Jobs: the functions that may be run. What declares them, what they may ask for, and where they are found."""

from django_jobqueue.jobs.context import RunContext
from django_jobqueue.jobs.definition import Declaration, JobDefinition
from django_jobqueue.jobs.notes import Notes
from django_jobqueue.jobs.outcomes import (
    Cancel,
    Completed,
    Decision,
    Deleted,
    Fail,
    Failed,
    Later,
    Retry,
    Snooze,
)
from django_jobqueue.jobs.registry import JobRegistry, registry
from django_jobqueue.jobs.schedules import DeclaredSchedule, declared_schedules
from django_jobqueue.jobs.secrets import Secrets, redacted

__all__ = [
    "Cancel",
    "Completed",
    "Decision",
    "Declaration",
    "DeclaredSchedule",
    "Deleted",
    "Fail",
    "Failed",
    "JobDefinition",
    "JobRegistry",
    "Later",
    "Notes",
    "Retry",
    "RunContext",
    "Secrets",
    "Snooze",
    "declared_schedules",
    "redacted",
    "registry",
]
