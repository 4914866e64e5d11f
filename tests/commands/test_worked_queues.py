"""``runjobs mail:4 default``: which queues, and in how many slots."""

from __future__ import annotations

import re

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from django_jobqueue.management.worked_queues import slots_of_process, worked_queues


@pytest.fixture(autouse=True)
def project(settings: Settings) -> None:
    settings.JOBQUEUE = {
        "worker": {"concurrency": 8},
        "queues": {"mail": {}, "reports": {"run_on_startup": False}, "billing": {"external": True}, "eu:mail": {}},
    }


def test_without_arguments_all_that_run_on_startup_are_worked_in_all_slots() -> None:
    queues = worked_queues([])

    assert queues == {"default": None, "mail": None, "eu:mail": None}
    assert slots_of_process(queues, None) == 8


def test_a_queue_is_given_slots_behind_a_colon() -> None:
    assert worked_queues(["mail:4", "default"]) == {"mail": 4, "default": None}


def test_the_order_of_the_arguments_is_kept() -> None:
    assert list(worked_queues(["reports", "default", "mail"])) == ["reports", "default", "mail"]


def test_a_colon_may_be_part_of_a_name() -> None:
    assert worked_queues(["eu:mail"]) == {"eu:mail": None}
    assert worked_queues(["eu:mail:2"]) == {"eu:mail": 2}


def test_a_name_that_is_given_twice_without_slots_counts_once() -> None:
    assert worked_queues(["mail", "mail"]) == {"mail": None}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mail:0"], "mail:0: the number after the colon says how many slots of a process the queue may hold, from 1 to 1000, not '0'."),
        (["mail:1001"], "from 1 to 1000, not '1001'."),
        (["mail:x"], "mail:x: the number after the colon says how many slots of a process the queue may hold, from 1 to 1000, not 'x'."),
        (["mail:"], "not ''."),
        (["mail:-1"], "not '-1'."),
        (["mail:²"], "not '²'."),
        (["mail:4", "mail:4"], "Queue 'mail' is given twice, as mail:4 and as mail:4: give it once."),
        (["mail:4", "mail:8"], "Queue 'mail' is given twice, as mail:4 and as mail:8: give it once."),
        (["mail", "mail:8"], "Queue 'mail' is given twice, as mail and as mail:8: give it once."),
        (["mial:4"], "'mial' is not a queue. Did you mean 'mail'?"),
        (["mial"], "'mial' is not a queue. Did you mean 'mail'?"),
        ([":4"], "'' is not a queue."),
        (["billing:4"], "Queue 'billing' is external: another deployment works it."),
    ],
)  # fmt: skip
def test_what_cannot_be_worked_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=re.escape(message)):
        worked_queues(arguments)


def test_where_all_queues_have_slots_a_process_has_as_many_as_they_have_together() -> None:
    assert slots_of_process({"mail": 4, "default": 16}, None) == 20


def test_a_process_never_has_more_slots_than_a_process_may_have() -> None:
    assert slots_of_process({"mail": 1000, "default": 1000}, None) == 1000


def test_where_a_queue_has_no_slots_of_its_own_the_project_decides() -> None:
    assert slots_of_process({"mail": 4, "default": None}, None) == 8


def test_whoever_gives_the_concurrency_decides() -> None:
    assert slots_of_process({"mail": 4, "default": 8}, 10) == 10


@pytest.mark.parametrize(("concurrency", "most"), [(3, 3), (None, 8)])
def test_a_queue_cannot_hold_more_slots_than_the_process_has(concurrency: int | None, most: int) -> None:
    with pytest.raises(CommandError, match=f"mail:9 is more than the slots of a process: --concurrency is {most}."):
        slots_of_process({"mail": 9, "default": None}, concurrency)


@pytest.mark.django_db
def test_the_command_refuses_them_before_anything_else() -> None:
    with pytest.raises(CommandError, match="'mial' is not a queue"):
        call_command("runjobs", "mial:4")
