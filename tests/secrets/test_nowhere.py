"""One payload with secrets is added, refused, worked, retried, dead-lettered and replayed; then all is searched for them."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from io import StringIO
from typing import Any
from urllib.parse import quote

import pytest
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.test import Client
from pytest_django import Settings

from django_jobqueue import Fail, RunContext, job, queues
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Claim, NewRun, Settlement
from django_jobqueue.errors import JobQueueError, PayloadError
from django_jobqueue.jobs import JobRegistry, registry
from django_jobqueue.management.console import Console
from django_jobqueue.management.json_lines import JSONLines
from django_jobqueue.models import Activity, Attempt, Run
from django_jobqueue.operations import replay, schedule_create, schedule_delete, schedule_edit
from django_jobqueue.operations.activities import author, record
from django_jobqueue.states import Outcome, State
from django_jobqueue.testing import drain
from django_jobqueue.worker.observer import Observer, Observers
from tests.admin.conftest import ACTIVITIES, QUEUES, RUNS, VIEWS, WORKERS, Staff, page, run_url, staff
from tests.commands.conftest import command
from tests.listening import Listener
from tests.worker.bench import WorkerThread

__all__ = ["staff"]

CARD = "4111-2222-3333-4444"
PASSWORD = 'correct horse\nbattery "staple" €'
SECRETS = [CARD, PASSWORD, "battery", "staple", repr(PASSWORD)[1:-1], json.dumps(PASSWORD)[1:-1], quote(PASSWORD)]

PAYLOAD = {"card": {"number": CARD, "year": 2030}, "password": PASSWORD, "amount": 12}


class BankError(Exception):
    """What the bank says."""


@pytest.fixture(autouse=True)
def shop(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "__dict__", vars(JobRegistry()))
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.05}}

    @job(secret=["card.number"], max_attempts=2, backoff={"mode": "fixed", "initial_seconds": 0})
    def charge(card: dict[str, Any], password: str, amount: int, *, run: RunContext) -> None:
        run.progress(1, message=f"charging {card['number']}")
        run.update_metadata(bank={"card": card["number"], "api_token": "abc", "year": 2030})
        logging.getLogger("shop").info("charging %r", run)
        try:
            raise BankError(f"{card} was refused")
        except BankError as error:
            error.add_note(f"with {password!r}, and {json.dumps(password)}")
            raise RuntimeError(f"https://bank/?password={quote(password)}&card={card['number']}") from error

    @job(secret=["card.number"])
    def give_up(card: dict[str, Any], password: str, amount: int, *, run: RunContext) -> dict[str, Any]:
        if amount == 1:
            raise Fail(f"{card} and {password}")
        if amount == 2:
            run.failed(f"{card} and {password}")
        if amount == 3:
            return {"card": card["number"], "password": password, "bad": object()}
        return {"card": card["number"], "said": [f"{password} was right"], "token": {"a": 1}, "year": card["year"]}


def worked() -> str:
    """What a worker prints that works all there is, for people and for programs."""
    people, programs = OutputWrapper(StringIO()), OutputWrapper(StringIO())
    observer = Observers(Console(people, no_style(), verbosity=2), JSONLines(programs, verbosity=2))
    with WorkerThread(["default"], observer, drain=True) as worker:
        worker.wait()
    return f"{people.getvalue()}\n{programs.getvalue()}"


def kept() -> Iterator[str]:
    """What the tables tell of runs beside their payloads."""
    for run in Run.objects.all():
        yield from (repr(run), str(run), str(run.error))
    for attempt in Attempt.objects.all():
        yield from (repr(attempt), str(attempt.error), str(attempt.traceback))
    for activity in Activity.objects.all():
        yield f"{activity} {activity.detail}"


def pages(client: Client) -> Iterator[str]:
    """All pages of the admin."""
    for address in [RUNS, f"{RUNS}?state=dead_lettered", QUEUES, WORKERS, ACTIVITIES, f"{QUEUES}default/pause/"]:
        yield page(client.get(address))
    for run in Run.objects.all():
        yield page(client.get(run_url(run)))
        yield page(client.get(run_url(run, "replay")))
        yield page(client.get(run_url(run, "cancel")))


def found(texts: Any) -> list[str]:
    return [secret for text in texts for secret in SECRETS if secret in text]


@pytest.mark.django_db(transaction=True)
def test_no_secret_is_told_anywhere(staff: Staff, listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    charged = queues.default.add("charge", PAYLOAD)
    given_up = [queues.default.add("give_up", PAYLOAD | {"amount": amount}) for amount in range(4)]
    printed = [worked()]
    again = replay(charged.pk, actor="test")
    printed += [worked()]
    assert [run.state for run in Run.objects.order_by("pk")] == [
        *("dead_lettered", "completed", "failed", "failed", "failed", "dead_lettered")
    ]
    assert {event.key for event in listener.of(again)} >= {"job.enqueued", "job.dead_lettered"}
    assert charged.attempts.count() == again.attempts.count() == 2

    for run in [charged, *given_up, again]:
        printed += [
            command("showrun", str(run.pk), "-v", "2").out,
            command("showrun", str(run.pk), "--format=json").out,
        ]
    user = staff(*VIEWS, "replay_run", "cancel_run", "pause_queue")

    assert found(kept()) == []
    assert found(printed) == []
    assert found(map(repr, listener.events)) == []
    assert found(f"{record.getMessage()} {record.exc_text}" for record in caplog.records) == []
    assert found(pages(user)) == []
    assert "charging RunContext(" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_the_permission_shows_the_payload(staff: Staff) -> None:
    run = queues.default.add("give_up", PAYLOAD)
    drain()

    without, with_permission = (
        page(client.get(run_url(run))).replace("&quot;", '"')
        for client in [staff("view_run"), staff("view_run", "view_payload", name="ana")]
    )

    assert "2030" in without
    assert "was right" in without
    assert CARD in with_permission
    assert json.dumps(PASSWORD, ensure_ascii=False)[1:-1] in with_permission
    assert CARD in command("showrun", str(run.pk), "--show-payload").out


@pytest.mark.django_db(transaction=True)
def test_who_adds_and_waits_on_the_command_line_is_told_no_secret() -> None:
    with WorkerThread(["default"], Observer()):
        told = command("addjob", "default.give_up", "--payload", json.dumps(PAYLOAD), "--wait", "60")

    assert "was right" in told.out
    assert found(told) == []


@pytest.mark.django_db
def test_what_was_kept_before_a_field_was_secret_is_not_shown(staff: Staff) -> None:
    @job(max_attempts=1)
    def note(word: str) -> None:
        raise ValueError(word)

    run = queues.default.add("note", {"word": CARD}, tags=[CARD], tenant=CARD)
    drain()
    registry._declared.clear()
    registry.forget_resolved()
    assert CARD in str(Attempt.objects.get().traceback)
    job(name="note", secret=["word"])(_note)

    assert found([page(staff("view_run").get(run_url(run)))]) == []
    assert found([command("showrun", str(run.pk), "-v", "2").out]) == []


def _note(word: str) -> None:
    """Do nothing."""


@pytest.mark.django_db
@pytest.mark.parametrize("version", [1, 3])
def test_where_some_of_it_is_secret_nothing_of_another_version_is_shown(version: int, staff: Staff) -> None:
    job(name="note", secret=["word"], version=2, upgrades={1: dict})(_note)
    run = queues.default.add("note", {"word": "right"})
    Run.objects.update(version=version, payload={"phrase": CARD})

    assert found([page(staff("view_run").get(run_url(run)))]) == []


@pytest.mark.django_db
def test_nothing_is_shown_of_a_payload_whose_job_nobody_knows(staff: Staff) -> None:
    run = queues.default.add("give_up", PAYLOAD)
    Run.objects.update(job="gone", payload={"number": CARD, "to": {"name": "ada"}})

    shown = page(staff("view_run").get(run_url(run)))

    assert found([shown]) == []
    assert "ada" not in shown
    assert "name" in shown


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ({**PAYLOAD, "password": f"{CARD}\0"}, "NUL"),
        ({**PAYLOAD, "card": {"number": f"{CARD}\ud800"}}, "surrogate"),
        ({**PAYLOAD, "card": CARD}, "card"),
        ({**PAYLOAD, "card": {"number": CARD * 10, "bad": float("nan")}}, "bad"),
        ({**PAYLOAD, "password": {"a": CARD}}, "password"),
        ({**PAYLOAD, "amount": "x", "password": CARD}, "amount"),
        ({"password": PASSWORD, "card": {"number": CARD}}, "'amount' is missing"),
    ],
)
@pytest.mark.django_db
def test_a_refusal_tells_what_is_wrong_and_no_secret(payload: dict[str, Any], told: str) -> None:
    for add in [
        lambda: queues.default.add("charge", payload),
        lambda: queues.default.bulk_add([{"job": "charge", "payload": payload}]),
    ]:
        with pytest.raises(JobQueueError) as caught:
            add()
        assert told in str(caught.value)
        assert found(["".join(traceback.format_exception(caught.value))]) == []


@pytest.mark.django_db
def test_a_stored_payload_that_does_not_fit_any_more_tells_no_secret() -> None:
    run = queues.default.add("charge", PAYLOAD)
    Run.objects.update(payload={**PAYLOAD, "password": {"long": PASSWORD}, "card": CARD})
    drain()

    run.refresh_from_db()
    assert run.reason == "invalid_payload"
    assert found([str(run.error)]) == []


@pytest.mark.django_db
def test_an_upgrade_that_fails_tells_no_secret() -> None:
    def upgrade(payload: dict[str, Any]) -> dict[str, Any]:
        raise ValueError(payload)

    job(name="note", secret=["word"], version=2, upgrades={1: upgrade})(_note)
    run = queues.default.add("note", {"word": "right"})
    Run.objects.update(version=1, payload={"phrase": CARD})
    drain()

    run.refresh_from_db()
    assert run.reason == "invalid_payload"
    assert "cannot upgrade it from version 1" in str(run.error)
    assert found([str(run.error)]) == []
    with pytest.raises(PayloadError, match="cannot upgrade it from version 1") as caught:
        replay(run.pk, actor="test")
    assert found([str(caught.value)]) == []


@pytest.mark.django_db
def test_an_error_is_cut_only_after_its_secrets_are_gone() -> None:
    @job
    def note(password: str) -> None:
        raise ValueError("x" * 1980 + password)

    run = queues.default.add("note", {"password": CARD})
    drain()

    run.refresh_from_db()
    assert run.error is not None
    assert "4111" not in run.error
    assert len(run.error) == 2000


@pytest.mark.django_db
def test_an_error_is_not_kept_where_the_filter_of_the_project_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = queues.default.add("charge", PAYLOAD)
    monkeypatch.setattr("django.views.debug.get_default_exception_reporter_filter", _broken)
    drain()

    run.refresh_from_db()
    assert (run.state, run.error) == ("dead_lettered", "(not told: it may contain a secret)")
    assert "What is secret for default.charge cannot be told: LookupError." in caplog.text
    assert found([caplog.text, *kept()]) == []
    with pytest.raises(JobQueueError) as caught:
        queues.default.add("charge", {**PAYLOAD, "card": CARD})
    assert found(traceback.format_exception(caught.value)) == []


def _broken() -> None:
    raise LookupError("the filter is broken")


@pytest.mark.django_db
def test_what_is_recorded_of_a_schedule_tells_no_secret() -> None:
    job(name="note", secret=["word"])(_note)
    job(name="other")(_note)
    made = schedule_create("nightly", job="note", cron="0 3 * * *", payload={"word": CARD}, actor="test")
    schedule_edit("nightly", payload={"word": CARD[::-1]}, actor="test")
    other = schedule_create("hourly", job="other", cron="0 * * * *", payload={"word": "harmless"}, actor="test")
    of_two_jobs = {"job": ["note", "other"], "payload": [{"word": CARD}, {"word": "harmless"}]}
    record("jobs.schedule.sync", author("test", ""), schedule=other, detail=of_two_jobs)
    schedule_delete(made.name, actor="test")

    told = [str(activity.detail) for activity in Activity.objects.order_by("pk")]
    assert len(told) == 5
    assert found(told) == []
    assert CARD[::-1] not in "".join(told)
    assert "harmless" in told[2]


@pytest.mark.django_db
def test_no_object_prints_a_payload() -> None:
    run = queues.default.add("charge", PAYLOAD)
    [claim] = engine_for("default").claim("default", "default", worker="w", limit=1, lease_seconds=30)
    new = NewRun(queue="default", job="charge", payload_text=claim.payload, metadata_text=claim.payload)
    settlement = Settlement(
        claim.ref, outcome=Outcome.COMPLETED, state=State.COMPLETED, result=claim.payload, metadata=claim.payload
    )

    assert isinstance(claim, Claim)
    assert CARD in claim.payload
    assert found(f"{each!r} {each}" for each in [run, claim, new, settlement]) == []
