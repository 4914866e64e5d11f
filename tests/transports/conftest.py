from __future__ import annotations

import pytest
from pytest_django import Settings

from django_jobqueue import job
from django_jobqueue.jobs import JobRegistry, registry
from tests.worker.bench import Recorder


@pytest.fixture(autouse=True)
def project(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose workers hardly ever look for work by themselves."""
    monkeypatch.setattr(registry, "__dict__", JobRegistry().__dict__)
    settings.JOBQUEUE = {"worker": {"poll_seconds": 60}, "queues": {"default": {}, "mail": {}}}

    @job
    def note() -> None:
        pass

    @job(queue="mail", name="note")
    def note_mail() -> None:
        pass


@pytest.fixture
def observer() -> Recorder:
    return Recorder()
