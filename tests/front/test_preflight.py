"""``on_before_add`` is asked before a run is added, and what it does not let in is not written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core import checks
from django.db import transaction
from pytest_django import DjangoAssertNumQueries, Settings

from django_jobqueue import job, operations, queues
from django_jobqueue.errors import ConfigError, InvalidRun, PayloadError, RunVetoed
from django_jobqueue.models import Activity, Run
from django_jobqueue.operations import NewRun
from django_jobqueue.queue import Queue
from tests.front.conftest import WriteModule, send

pytestmark = pytest.mark.django_db

NEW_YEAR = datetime(2031, 1, 1, tzinfo=UTC)


def to_somebody(new: NewRun) -> bool:
    """Whether there is anybody to send to."""
    return new.payload.get("to") != "nobody"


def ask(function: Callable[[NewRun], object]) -> None:
    """Let *function* be asked before a run of job ``send`` is added."""
    job(queue="mail", preflight={"on_before_add": function})(send)


def test_what_it_lets_in_is_added(mail: Queue) -> None:
    ask(to_somebody)

    run = mail.add("send", {"to": "n1"})

    assert run == Run.objects.get()


def test_for_what_it_does_not_let_in_there_is_no_run_and_no_statement(
    mail: Queue, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    ask(to_somebody)

    with django_assert_num_queries(0):
        assert mail.add("send", {"to": "nobody"}) is None

    assert not Run.objects.exists()


def test_in_a_batch_none_stands_where_there_is_no_run(mail: Queue) -> None:
    ask(to_somebody)

    ids = mail.bulk_add({"job": "send", "payload": {"to": to}} for to in ("nobody", "n1", "nobody", "n2"))

    first, second = Run.objects.order_by("id")
    assert ids == [None, first.pk, None, second.pk]
    assert (first.payload, second.payload) == ({"to": "n1"}, {"to": "n2"})


def test_a_batch_may_come_to_nothing(mail: Queue) -> None:
    ask(to_somebody)

    assert mail.bulk_add([{"job": "send", "payload": {"to": "nobody"}}] * 3) == [None, None, None]
    assert not Run.objects.exists()


def test_it_sees_the_run_as_it_would_be_added(mail: Queue) -> None:
    seen: list[NewRun] = []

    def look(new: NewRun) -> bool:
        seen.append(new)
        return True

    job(queue="mail", priority=7, tags=["letter"], preflight={"on_before_add": look})(send)
    mail.add(
        "send",
        {"to": ("n1", "n2")},
        next_run_at=NEW_YEAR,
        max_attempts=2,
        tags=["urgent"],
        tenant="acme",
        user=5,
        trace_id="t1",
        metadata={"ip": "::1"},
    )
    mail.bulk_add([{"job": "send", "delay_seconds": 60}])

    first, second = seen
    assert (first.queue, first.job, first.payload) == ("mail", "send", {"to": ["n1", "n2"]})
    assert (first.run_at, first.priority, first.max_attempts) == (NEW_YEAR, 7, 2)
    assert (first.tags, first.tenant, first.user, first.trace_id) == (("letter", "urgent"), "acme", "5", "t1")
    assert first.metadata == {"ip": "::1"}
    assert (second.payload, second.run_at, second.delay_seconds, second.metadata) == ({}, None, 60, None)


def test_it_cannot_change_what_is_added(mail: Queue) -> None:
    def meddle(new: NewRun) -> bool:
        new.payload["to"] = "another"
        with pytest.raises(AttributeError):
            new.priority = 5  # type: ignore[misc]
        return True

    ask(meddle)

    assert mail.add("send", {"to": "n1"}).payload == Run.objects.get().payload == {"to": "n1"}


def test_it_is_asked_only_about_what_is_valid(mail: Queue) -> None:
    asked: list[NewRun] = []

    def look(new: NewRun) -> bool:
        asked.append(new)
        return True

    ask(look)

    with pytest.raises(PayloadError):
        mail.add("send", {"to": {1}})
    with pytest.raises(InvalidRun):
        mail.add("send", priority=101)
    with pytest.raises(InvalidRun):
        mail.add("send", expires_at="now")

    assert asked == []


@pytest.mark.parametrize(
    "add",
    [lambda: queues.mail.add("send"), lambda: queues.mail.bulk_add([{"job": "send"}] * 2)],
    ids=["add", "bulk_add"],
)
def test_what_it_raises_is_raised_by_add_and_nothing_is_written(mail: Queue, add: Callable[[], object]) -> None:
    def fail(new: NewRun) -> bool:
        raise PermissionError("not today")

    ask(fail)

    with transaction.atomic():
        Group.objects.create(name="before")
        with pytest.raises(PermissionError, match="not today"):
            add()

    assert Group.objects.exists()
    assert not Run.objects.exists()


def forgets_to_answer(new: NewRun) -> None: ...


def answers_with_a_text(new: NewRun) -> str:
    return "no"


@pytest.mark.parametrize(
    ("function", "answer"), [(forgets_to_answer, "None"), (answers_with_a_text, "'no'")], ids=["nothing", "text"]
)
def test_it_must_answer_true_or_false(mail: Queue, function: Callable[[NewRun], object], answer: str) -> None:
    ask(function)

    with pytest.raises(TypeError) as caught:
        mail.add("send")

    assert str(caught.value) == f"{__name__}.{function.__name__}() must answer True or False, got {answer}."
    assert not Run.objects.exists()


def test_it_may_write_in_the_transaction_of_the_caller(mail: Queue) -> None:
    def count(new: NewRun) -> bool:
        Group.objects.create(name=f"asked {Group.objects.count()}")
        return False

    ask(count)

    with transaction.atomic():
        assert mail.add("send") is None
        transaction.set_rollback(True)
    assert not Group.objects.exists()


def test_a_run_that_is_replayed_is_asked_about_again(mail: Queue) -> None:
    job(queue="mail")(send)
    run = mail.add("send", {"to": "nobody"})
    operations.cancel(run.pk, actor="ada")
    ask(to_somebody)

    with pytest.raises(RunVetoed, match=r"^on_before_add of job 'send' of queue 'mail' does not let it be added\.$"):
        operations.replay(run.pk, actor="ada")

    assert Run.objects.get() == run
    assert not Activity.objects.filter(operation="jobs.replay").exists()


# --- Declaring it ----------------------------------------------------------------------------------------------------


def test_settings_name_it_by_a_dotted_path(settings: Settings, write_module: WriteModule) -> None:
    write_module("rules", "def may_add(new):\n    return new.payload['to'] != 'nobody'")
    settings.JOBQUEUE = {"queues": {"mail": {"preflight": {"on_before_add": "rules.may_add"}}}}
    job(queue="mail")(send)

    assert queues.mail.add("send", {"to": "nobody"}) is None
    assert queues.mail.add("send", {"to": "n1"}) is not None


@pytest.mark.parametrize("question", ["on_before_add", "okay_to_run"])
@pytest.mark.parametrize(
    ("named", "flaw"),
    [
        ("rules.may_ad", "'rules' has no 'may_ad'. Did you mean 'may_add'?"),
        ("ruls.may_add", "'ruls' cannot be imported: No module named 'ruls'."),
        ("rules.LIMIT", "'rules.LIMIT' is not a function, but int."),
        ("rules.later", "rules.later is a coroutine function. Make it a plain one: def, not async def."),
    ],
)
def test_one_that_cannot_be_called_is_found_by_the_checks(
    settings: Settings, write_module: WriteModule, question: str, named: str, flaw: str
) -> None:
    write_module("rules", "LIMIT = 5\ndef may_add(new): ...\nasync def later(new): ...")
    settings.JOBQUEUE = {"queues": {"mail": {"jobs": {"send": {"preflight": {question: named}}}}}}
    job(queue="mail")(send)

    [found] = checks.run_checks(tags=["jobqueue"])

    assert found.id == "jobqueue.E002"
    assert found.msg == f"""Job 'send' of queue 'mail' (tests.front.conftest.send): preflight["{question}"]: {flaw}"""
    with pytest.raises(ConfigError):
        queues.mail.add("send")


@pytest.mark.parametrize(
    ("preflight", "problem"),
    [
        ({"on_before_ad": "a.b"}, "]: unknown option 'on_before_ad'. Did you mean 'on_before_add'?"),
        (
            {"on_before_add": "b"},
            "[\"on_before_add\"]: must be a function, or a dotted path such as 'shop.rules.may_send'",
        ),
        ({"okay_to_run": 5}, "[\"okay_to_run\"]: must be a function, or a dotted path such as 'shop.rules.may_send'"),
        ({"requeue_delay_seconds": -1}, '["requeue_delay_seconds"]: must be a number from 0 to 86400, got -1'),
        ("a.b", "]: must be a mapping, got 'a.b'"),
    ],
)
def test_one_that_is_declared_wrongly_is_found_by_the_checks(settings: Settings, preflight: Any, problem: str) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"preflight": preflight}}}

    [found] = checks.run_checks(tags=["jobqueue"])

    assert problem in f"{found.msg}"
    assert found.msg.startswith('JOBQUEUE["queues"]["mail"]["preflight"]')
