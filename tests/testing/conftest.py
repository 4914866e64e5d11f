from __future__ import annotations

import pytest
from pytest_django import Settings

from django_jobqueue.jobs import JobRegistry, registry


@pytest.fixture(autouse=True)
def project(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test declare jobs of its own with ``@job``."""
    monkeypatch.setattr(registry, "__dict__", vars(JobRegistry()))
    settings.JOBQUEUE = {"queues": {"mail": {}}}
