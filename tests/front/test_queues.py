"""``queues`` knows the queues of the settings, and says which name was meant."""

from __future__ import annotations

import copy
import pickle

import pytest
from pytest_django import Settings

from django_jobqueue import job, queues
from django_jobqueue.errors import InvalidArgument, JobQueueError, UnknownQueue
from django_jobqueue.queue import Queue
from tests.front.conftest import send


@pytest.fixture(autouse=True)
def two_queues(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"concurrent_jobs": 3}, "night-shift": {}}}


def test_a_queue_is_an_attribute() -> None:
    assert isinstance(queues.mail, Queue)
    assert queues.mail.name == "mail"
    assert repr(queues.mail) == "<Queue mail>"


def test_a_queue_is_an_item_for_names_that_are_no_identifiers() -> None:
    assert queues["night-shift"].name == "night-shift"


def test_all_queues_are_there_one_after_the_other_and_the_default_one_too() -> None:
    assert [queue.name for queue in queues] == ["default", "mail", "night-shift"]
    assert len(queues) == 3


def test_it_can_be_asked_whether_there_is_a_queue() -> None:
    assert "mail" in queues
    assert "mial" not in queues
    assert hasattr(queues, "mail")
    assert not hasattr(queues, "mial")
    assert getattr(queues, "mial", None) is None


def test_completion_finds_the_queues() -> None:
    assert {"mail", "night-shift", "default", "__len__"} <= set(dir(queues))


def test_a_wrong_queue_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownQueue) as by_attribute:
        queues.mial  # noqa: B018
    with pytest.raises(UnknownQueue) as by_item:
        queues["mial"]

    assert str(by_attribute.value) == str(by_item.value) == "'mial' is not a queue. Did you mean 'mail'?"
    assert isinstance(by_attribute.value, AttributeError)
    assert isinstance(by_attribute.value, JobQueueError)
    assert by_attribute.value.code == "unknown_queue"


def test_a_queue_that_resembles_none_is_refused_with_all_names() -> None:
    with pytest.raises(UnknownQueue, match=r"^'xyz' is not a queue\. Known: default, mail, night-shift\.$"):
        queues["xyz"]


@pytest.mark.parametrize("name", [None, 5, send])
def test_a_queue_whose_name_is_not_text_is_refused_as_well(name: object) -> None:
    with pytest.raises(UnknownQueue, match="is not a queue"):
        queues[name]  # type: ignore[index]


def test_tools_may_look_at_the_queues_whatever_the_settings_say(settings: Settings) -> None:
    settings.JOBQUEUE = {"queus": {}}

    assert not hasattr(queues, "__wrapped__")


def test_queues_can_be_copied() -> None:
    assert copy.copy(queues)["mail"].name == "mail"
    assert pickle.loads(pickle.dumps(queues.mail)).name == "mail"  # noqa: S301


def test_a_queue_shows_its_settings_as_they_are_now(settings: Settings) -> None:
    queue = queues.mail
    assert queue.config.concurrent_jobs == 3

    settings.JOBQUEUE = {"queues": {"mail": {"concurrent_jobs": 4}}}

    assert queue.config.concurrent_jobs == 4


def test_a_queue_shows_its_jobs() -> None:
    job(queue="mail")(send)
    job(queue="mail", name="post", max_attempts=7)(send)
    job(queue="night-shift", name="sweep")(send)

    jobs = queues.mail.jobs

    assert list(jobs) == ["post", "send"]
    assert jobs["post"].function is send
    assert jobs["post"].options.max_attempts == 7


def test_runs_of_a_state_that_is_none_are_refused_with_the_nearest_one() -> None:
    with pytest.raises(InvalidArgument) as caught:
        queues.mail.runs("dead_letter")

    assert str(caught.value) == "state: 'dead_letter' is not a state. Did you mean 'dead_lettered'?"


@pytest.mark.django_db
def test_without_settings_there_is_a_default_queue_that_works(settings: Settings) -> None:
    del settings.JOBQUEUE
    declared = job(send)

    run = queues.default.add("send", {"to": "n1"})

    assert (run.queue, run.job, run.payload) == ("default", "send", {"to": "n1"})
    assert [*queues.default.runs()] == [run]
    assert declared.add().queue == "default"
