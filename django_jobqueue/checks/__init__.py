"""System checks: what ``manage.py check`` says about the use of django-jobqueue in a project.

None of them connects to a database: they run where there may be none yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register

from django_jobqueue.checks.databases import check_atomic, check_database, check_isolation, check_pool, check_sqlite
from django_jobqueue.checks.jobs import check_fields, check_jobs, check_keys, check_schedules
from django_jobqueue.conf import get_config
from django_jobqueue.errors import ConfigError

TAG = "jobqueue"


@register(TAG)
def check_project(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report all that is wrong or unwise in the settings, the jobs and the database of the project."""
    try:
        config = get_config()
    except ConfigError as error:
        hint = "Correct settings.JOBQUEUE: none of it is used until all of it is right."
        return [Error(problem, hint=hint, id="jobqueue.E001") for problem in error.problems]
    return [
        *check_jobs(config),
        *check_keys(config),
        *check_fields(config),
        *check_schedules(),
        *check_database(config),
        *check_sqlite(config),
        *check_pool(config),
        *check_isolation(config),
        *check_atomic(config),
        *check_time_zone(),
        *check_admin(),
    ]


def check_time_zone() -> Iterator[CheckMessage]:
    """Warn of local time (jobqueue.W002)."""
    if not settings.USE_TZ:
        yield Warning(
            "USE_TZ is False: in the hour that clocks repeat in autumn, next_run_at can mean either of two moments, and "
            "schedules are due the first time only.",
            hint="Set USE_TZ = True.",
            id="jobqueue.W002",
        )


def check_admin() -> Iterator[CheckMessage]:
    """Tell of an admin that is not there to show runs and queues (jobqueue.I001)."""
    if not apps.is_installed("django.contrib.admin"):
        yield Info(
            "django.contrib.admin is not installed: nobody can look at runs, replay, cancel or pause there.",
            hint='Add "django.contrib.admin" to INSTALLED_APPS, or silence this with SILENCED_SYSTEM_CHECKS.',
            id="jobqueue.I001",
        )
