"""System checks: what ``manage.py check`` says about the use of django-jobqueue in a project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import ConfigError
from django_jobqueue.jobs import registry

TAG = "jobqueue"


@register(TAG)
def check_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report every problem of ``settings.JOBQUEUE`` (jobqueue.E001)."""
    try:
        get_config()
    except ConfigError as error:
        hint = "Correct settings.JOBQUEUE: none of it is used until all of it is right."
        return [Error(problem, hint=hint, id="jobqueue.E001") for problem in error.problems]
    return []


@register(TAG)
def check_jobs(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report every job that cannot work (jobqueue.E002)."""
    if check_settings(app_configs):
        return []
    hint = "Correct the declaration of the job: it can neither be added nor run."
    return [Error(problem, hint=hint, id="jobqueue.E002") for problem in registry.problems()]


@register(TAG)
def check_database(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report a database that no engine speaks to (jobqueue.E003)."""
    if check_settings(app_configs):
        return []
    try:
        engine_for(get_config().database)
    except ConfigError as error:
        hint = 'Let JOBQUEUE["database"] name another alias of DATABASES.'
        return [Error(problem, hint=hint, id="jobqueue.E003") for problem in error.problems]
    return []
