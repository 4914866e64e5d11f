"""The composition root: what Django starts us with."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class JobQueueConfig(AppConfig):
    """Finds the ``jobs`` module of every installed app, and registers the system checks."""

    name = "django_jobqueue"
    verbose_name = "Job queue"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_jobqueue import checks  # noqa: F401  # it registers itself, and needs the app registry

        autodiscover_modules("jobs")
