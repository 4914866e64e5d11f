"""Background jobs for Django: queues in settings, runs in your own database, workers by ``manage.py runjobs``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_jobqueue.jobs import Cancel, Fail, Retry, RunContext, Snooze
    from django_jobqueue.queue import job, queues, schedule

__version__ = "0.1.0"

__all__ = ["Cancel", "Fail", "Retry", "RunContext", "Snooze", "job", "queues", "schedule"]

_HOMES = {name: "queue" if name in {"job", "queues", "schedule"} else "jobs" for name in __all__}


def __getattr__(name: str) -> Any:
    # Django imports this package before settings and apps are ready, so nothing is imported before it is asked for.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
