"""Runs are added from wherever a project has work: views, signals, commands, sync and async."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.core.management import BaseCommand, call_command
from django.db import connection
from django.db.models.signals import post_save
from django.test import AsyncClient, Client
from pytest_django import Settings

from django_jobqueue import job, queues
from django_jobqueue.errors import InvalidRun, UnknownJob
from django_jobqueue.models import Run
from django_jobqueue.queue import Queue
from tests.front.conftest import failing_transaction, send

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def site(mail: Queue, settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.front.urls"


@pytest.fixture
def atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)


def recipients() -> list[str]:
    return [run.payload["to"] for run in Run.objects.order_by("id")]


# --- Views -----------------------------------------------------------------------------------------------------------


def test_a_view_adds_a_run(client: Client) -> None:
    response = client.post("/order/", {"to": "n1"})

    assert response.json() == {"run": Run.objects.get().pk}
    assert recipients() == ["n1"]


def test_a_view_that_fails_after_adding_leaves_the_run_where_every_statement_commits(client: Client) -> None:
    with pytest.raises(RuntimeError, match="after adding"):
        client.post("/order/", {"to": "n1", "fail": "yes"})

    assert recipients() == ["n1"]


@pytest.mark.usefixtures("atomic_requests")
def test_a_view_that_fails_after_adding_takes_the_run_back_where_requests_are_transactions(client: Client) -> None:
    with pytest.raises(RuntimeError, match="after adding"):
        client.post("/order/", {"to": "n1", "fail": "yes"})
    client.post("/order/", {"to": "n2"})

    assert recipients() == ["n2"]
    assert Group.objects.get().name == "n2"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_an_async_view_adds_runs(kind: type[Client | AsyncClient]) -> None:
    client = kind()
    post = client.post if isinstance(client, Client) else async_to_sync(client.post)

    response = post("/order-async/", {"to": "n1"})

    assert response.json() == {"runs": [*Run.objects.order_by("id").values_list("pk", flat=True)]}
    assert recipients() == ["n1", "a", "b"]
    assert [run.priority for run in Run.objects.order_by("id")] == [3, 0, 0]


# --- Async code ------------------------------------------------------------------------------------------------------


def test_async_code_adds_a_run_with_all_options() -> None:
    run = async_to_sync(queues.mail.aadd)("send", {"to": "n1"}, delay_seconds=60, priority=7, max_attempts=2)

    stored = Run.objects.get()
    assert run == stored
    assert (stored.payload, stored.priority, stored.max_attempts) == ({"to": "n1"}, 7, 2)
    assert (stored.run_at - stored.created_at).total_seconds() == 60


def test_async_code_adds_runs_by_their_job() -> None:
    declared = job(queue="mail", name="letter")(send)

    run = async_to_sync(declared.aadd)({"to": "n1"}, priority=7)

    assert (run.job, run.priority) == ("letter", 7)
    assert Run.objects.get() == run


def test_async_code_adds_many_runs() -> None:
    ids = async_to_sync(queues.mail.abulk_add)([{"job": "send", "payload": {"to": "a"}}, {"job": "send"}])

    assert ids == [*Run.objects.order_by("id").values_list("pk", flat=True)]


def test_async_code_is_refused_what_sync_code_is_refused() -> None:
    with pytest.raises(UnknownJob, match="Did you mean 'send'"):
        async_to_sync(queues.mail.aadd)("sned")
    with pytest.raises(InvalidRun, match=r"^item 1: 'job' is missing"):
        async_to_sync(queues.mail.abulk_add)([{"job": "send"}, {}])

    assert not Run.objects.exists()


def test_a_transaction_around_async_code_is_its_transaction_too() -> None:
    with failing_transaction():
        async_to_sync(queues.mail.aadd)("send")

    assert not Run.objects.exists()


# --- Signals and commands --------------------------------------------------------------------------------------------


@pytest.fixture
def greeter() -> Iterator[None]:
    """Adds a run for every new group."""

    def greet(instance: Group, created: bool, **_: Any) -> None:
        if created:
            queues.mail.add("send", {"to": instance.name})

    post_save.connect(greet, sender=Group)
    yield
    post_save.disconnect(greet, sender=Group)


@pytest.mark.usefixtures("greeter")
def test_a_signal_adds_a_run_in_the_transaction_that_sent_it() -> None:
    with failing_transaction():
        Group.objects.create(name="n1")
    Group.objects.create(name="n2").save()

    assert recipients() == ["n2"]


class SendLetters(BaseCommand):
    """A command of a project."""

    def handle(self, *args: Any, **options: Any) -> str:
        ids = queues.mail.bulk_add({"job": "send", "payload": {"to": name}} for name in "abc")
        return f"{len(ids)} letters"


def test_a_command_adds_runs() -> None:
    assert call_command(SendLetters()) == "3 letters"

    assert recipients() == ["a", "b", "c"]
