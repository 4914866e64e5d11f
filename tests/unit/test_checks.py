"""``manage.py check`` tells every mistake in the settings at once."""

from __future__ import annotations

from django.core import checks
from pytest_django import Settings

import django_jobqueue.checks  # noqa: F401  (registers the checks)


def test_right_settings_pass(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}}}

    assert checks.run_checks(tags=["jobqueue"]) == []


def test_every_problem_of_the_settings_is_an_error_of_its_own(settings: Settings) -> None:
    settings.JOBQUEUE = {"queus": {}, "namespace": "", "worker": {"concurrency": 0}}

    found = checks.run_checks(tags=["jobqueue"])

    assert [message.id for message in found] == ["jobqueue.E001"] * 3
    assert all(message.level == checks.ERROR and message.hint for message in found)
    assert found[0].msg == "JOBQUEUE: unknown option 'queus'. Did you mean 'queues'?"
    assert found[2].msg == 'JOBQUEUE["worker"]["concurrency"]: must be a whole number from 1 to 1000, got 0'
