"""``settings.JOBQUEUE`` as frozen dataclasses, read once, on first use.

All that is wrong in the settings is told together, in one ConfigError. An option that nothing reads is refused.
"""

from __future__ import annotations

from django_jobqueue.conf.cleanup import Cleanup, ProjectCleanup
from django_jobqueue.conf.config import Config, external_queues, get_config
from django_jobqueue.conf.contradictions import contradictions, delivery_contradictions, timeout_contradictions
from django_jobqueue.conf.job import JobConfig, JobOptions, check_name, parse_job_options
from django_jobqueue.conf.options import ErrorClass, Function, PayloadKey
from django_jobqueue.conf.preflight import Preflight
from django_jobqueue.conf.queue import QueueConfig
from django_jobqueue.conf.schedules import ScheduleConfig, ScheduleOptions
from django_jobqueue.conf.worker import WorkerConfig

__all__ = [
    "Cleanup",
    "Config",
    "ErrorClass",
    "Function",
    "JobConfig",
    "JobOptions",
    "PayloadKey",
    "Preflight",
    "ProjectCleanup",
    "QueueConfig",
    "ScheduleConfig",
    "ScheduleOptions",
    "WorkerConfig",
    "check_name",
    "contradictions",
    "delivery_contradictions",
    "external_queues",
    "get_config",
    "parse_job_options",
    "timeout_contradictions",
]
