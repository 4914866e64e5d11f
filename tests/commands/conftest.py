from __future__ import annotations

from io import StringIO
from typing import Any, NamedTuple

import pytest
from django.core.management import call_command
from pytest_django import Settings

from django_jobqueue import job, queues
from django_jobqueue.queue import Queue
from tests.admin.conftest import make_run
from tests.front.conftest import new_registry, write_module

__all__ = ["make_run", "new_registry", "write_module"]


class Told(NamedTuple):
    """What a command wrote."""

    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def command(name: str, *arguments: str, **options: Any) -> Told:
    """Call a command of ours as the command line does, but for its process."""
    out, err = StringIO(), StringIO()
    call_command(name, *arguments, stdout=out, stderr=err, **{"no_color": True, **options})
    return Told(out.getvalue(), err.getvalue())


class Terminal(StringIO):
    """Where somebody types."""

    def isatty(self) -> bool:
        return True


def send(to: str, subject: str = "", copies: int = 0) -> str:
    """Send one letter."""
    return f"sent to {to}"


@pytest.fixture
def mail(settings: Settings) -> Queue:
    """A queue of which ``send`` is a job."""
    settings.JOBQUEUE = {"queues": {"mail": {}}}
    job(queue="mail")(send)
    return queues.mail
