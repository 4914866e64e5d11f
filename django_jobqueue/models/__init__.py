"""The tables, and the words to ask them with. No policy lives here."""

from django_jobqueue.models.activity import Activity
from django_jobqueue.models.attempt import Attempt
from django_jobqueue.models.idempotency_key import IdempotencyKey
from django_jobqueue.models.limit_bucket import LimitBucket
from django_jobqueue.models.queue_state import QueueState
from django_jobqueue.models.run import Run, RunQuerySet
from django_jobqueue.models.schedule import Schedule, ScheduleQuerySet, Skip
from django_jobqueue.models.stat import Stat
from django_jobqueue.models.worker import Worker

__all__ = [
    "Activity",
    "Attempt",
    "IdempotencyKey",
    "LimitBucket",
    "QueueState",
    "Run",
    "RunQuerySet",
    "Schedule",
    "ScheduleQuerySet",
    "Skip",
    "Stat",
    "Worker",
]
