from __future__ import annotations

import pytest
from pytest_django import Settings

from django_jobqueue.jobs import JobRegistry, registry

IN_A_MINUTE = {"mode": "fixed", "initial_seconds": 60, "jitter": 0}
"""When what failed is tried again: after a second, as by default, it might be while the rest is drained."""


@pytest.fixture(autouse=True)
def project(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test declare jobs of its own with ``@job``."""
    monkeypatch.setattr(registry, "__dict__", vars(JobRegistry()))
    settings.JOBQUEUE = {"queues": {name: {"backoff": IN_A_MINUTE} for name in ("default", "mail")}}
