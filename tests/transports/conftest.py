from __future__ import annotations

import pytest
from pytest_django import Settings

from django_jobqueue import job
from django_jobqueue.jobs import JobRegistry, registry
from django_jobqueue.worker import maintenance
from tests.transports.hearing import wait_for_silence
from tests.worker.bench import Recorder


@pytest.fixture(autouse=True)
def project(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose workers hardly ever look for work by themselves."""
    monkeypatch.setattr(registry, "__dict__", JobRegistry().__dict__)
    monkeypatch.setattr(maintenance, "LOOK_SECONDS", 60.0)
    settings.JOBQUEUE = {"worker": {"poll_seconds": 60, "lease_seconds": 600}, "queues": {"default": {}, "mail": {}}}

    @job
    def note() -> None:
        pass

    @job(queue="mail", name="note")
    def note_mail() -> None:
        pass


@pytest.fixture(autouse=True)
def silence() -> None:
    """Nothing is left to be told of other tests, or spoken into the database of one."""
    wait_for_silence()


@pytest.fixture
def observer() -> Recorder:
    return Recorder()
