"""Workers that break the rules of limits, for the proof that such would be found out."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from django_jobqueue.engines.base import Engine, Locked

LEFT_OUT = "JOBQUEUE_TEST_LEFT_OUT"
"""The variable that names what they leave out: the lock, the count of what is running, or an option."""


class BrokenConfig(AppConfig):
    name = "tests.acceptance.broken"

    def ready(self) -> None:
        """Leave out what the engine does."""
        from django_jobqueue.engines import engine_for

        engine = type(engine_for("default"))
        match os.environ[LEFT_OUT]:
            case "lock":
                engine.wait_for_lock = _go_on  # type: ignore[attr-defined]
                _replace(engine, "LOCK", "pg_advisory_xact_lock", "hashint8")
            case "running":
                engine.lock = _uncounted(engine.lock)  # type: ignore[method-assign]
                _replace(engine, "COUNT", "state = 'running'", "FALSE")


def _replace(engine: type[Engine], name: str, words: str, others: str) -> None:
    """Let a statement, where an engine has it, say something else."""
    if words in (sql := getattr(engine, name, "")):
        setattr(engine, name, sql.replace(words, others))


def _go_on(engine: Engine, namespace: str, queues: Collection[str]) -> None:
    """Wait for nobody."""


def _uncounted(lock: Callable[..., Locked]) -> Callable[..., Locked]:
    """Lock, and count nothing as running."""

    def lock_alone(engine: Engine, namespace: str, queues: Collection[str]) -> Locked:
        return lock(engine, namespace, queues)._replace(running={queue: [] for queue in queues})

    return lock_alone
