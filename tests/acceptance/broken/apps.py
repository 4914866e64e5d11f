"""Workers that break the rules of limits, for the proof that such would be found out."""

from __future__ import annotations

import os
from typing import Any

from django.apps import AppConfig

LEFT_OUT = "JOBQUEUE_TEST_LEFT_OUT"
"""The variable that names what they leave out: a method of the engine, or an option."""


class BrokenConfig(AppConfig):
    name = "tests.acceptance.broken"

    def ready(self) -> None:
        """Leave out what is a method of the engine."""
        from django_jobqueue.engines import ENGINES

        for engine in ENGINES.values():
            if hasattr(engine, os.environ[LEFT_OUT]):
                setattr(engine, os.environ[LEFT_OUT], _nothing)


def _nothing(*arguments: Any, **options: Any) -> list[Any]:
    """Lock nothing, and count nothing as running."""
    return []
