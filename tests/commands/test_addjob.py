"""``addjob``."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, load_command_class
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import Fail, job
from django_jobqueue.management import waiting
from django_jobqueue.management.commands import addjob
from django_jobqueue.models import Run
from django_jobqueue.operations.new_runs import AddOptions
from django_jobqueue.queue import Queue
from tests.commands.conftest import command
from tests.worker.bench import PATIENCE_SECONDS, Recorder, WorkerThread

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def queue(mail: Queue) -> None:
    """There is a job mail.send."""


@pytest.mark.parametrize("words", [["mail.send"], ["mail", "send"]])
def test_a_run_is_added_and_its_id_printed(words: list[str]) -> None:
    told = command("addjob", *words, "to=ann")

    run = Run.objects.get()
    assert told.out == f"{run.pk}\n"
    assert (run.queue, run.job, run.payload, run.state) == ("mail", "send", {"to": "ann"}, "pending")


def test_names_with_dots_are_found(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"a.b": {}, "a": {}}}
    job(queue="a.b", name="c")(lambda: None)
    job(queue="a", name="b.d")(lambda: None)

    command("addjob", "a.b.c")
    command("addjob", "a.b.d")

    assert list(Run.objects.order_by("pk").values_list("queue", "job")) == [("a.b", "c"), ("a", "b.d")]


def test_a_name_that_means_two_jobs_is_refused(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"a.b": {}, "a": {}}}
    job(queue="a.b", name="c")(lambda: None)
    job(queue="a", name="b.c")(lambda: None)

    with pytest.raises(CommandError, match=r"'a\.b\.c' means more than one job"):
        command("addjob", "a.b.c")

    command("addjob", "a", "b.c")
    assert Run.objects.get().job == "b.c"


@pytest.mark.parametrize("words", [["reports.monthly:v2"], ["reports", "monthly:v2"], ["reports.eu.yearly"]])
def test_any_job_of_an_external_queue_can_be_named(settings: Settings, words: list[str]) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}, "reports": {"external": True}}}

    command("addjob", *words, "month=5", "region=eu", "code=007")

    run = Run.objects.get()
    assert [run.queue, run.job] == (words[0].split(".", 1) if len(words) == 1 else words)
    assert run.payload == {"month": 5, "region": "eu", "code": "007"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["reports."], "'reports.' is not a job. "),
        (["reports.1st"], "job: '1st' is not a valid name."),
        (["report.monthly"], "'report.monthly' is not a job. "),
    ],
)
def test_what_can_be_no_job_of_an_external_queue_is_refused(settings: Settings, words: list[str], told: str) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}, "reports": {"external": True}}}

    with pytest.raises(CommandError) as caught:
        command("addjob", *words)

    assert told in str(caught.value)
    assert not Run.objects.exists()


def test_a_value_is_json_where_it_can_be_and_else_text() -> None:
    @job(queue="mail")
    def take(**values: object) -> None:
        pass

    command("addjob", "mail.take", "a=7", "b=-0.5", "c=true", "d=null", 'e=["x", 1]', "f=ann", "g=007", "h=a=b", "i=")

    assert Run.objects.get().payload == {
        "a": 7, "b": -0.5, "c": True, "d": None, "e": ["x", 1], "f": "ann", "g": "007", "h": "a=b", "i": "",
    }  # fmt: skip


def test_a_value_is_text_where_the_job_takes_text() -> None:
    @job(queue="mail")
    def take(code: str, day: date, count: int | str, price: Decimal, note: str | None = "") -> None:
        pass

    command("addjob", "mail.take", "code=007", "day=2033-07-01", "count=7", "price=12.50", "note=null")
    command("addjob", "mail.take", "code=7", "day=2033-07-01", "count=seven", "price=12", "note=7")

    first, second = Run.objects.order_by("pk")
    assert first.payload == {"code": "007", "day": "2033-07-01", "count": 7, "price": "12.50", "note": None}
    assert second.payload == {"code": "7", "day": "2033-07-01", "count": "seven", "price": "12", "note": "7"}


def test_the_payload_may_be_one_json_object_which_words_add_to() -> None:
    command("addjob", "mail.send", "--payload", '{"to": "ann", "copies": 1}', "copies=2")

    assert Run.objects.get().payload == {"to": "ann", "copies": 2}


def test_the_payload_may_be_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "payload.json"
    path.write_text('{"to": "Ünal"}', encoding="utf-8")

    command("addjob", "mail.send", "--payload-file", str(path))

    assert Run.objects.get().payload == {"to": "Ünal"}


def test_the_payload_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"to": "ann"}'))

    command("addjob", "mail.send", "--payload-file", "-")

    assert Run.objects.get().payload == {"to": "ann"}


def test_a_caller_in_python_gives_values() -> None:
    at = datetime(2033, 1, 1, tzinfo=UTC)

    command("addjob", "mail.send", payload={"to": "ann"}, next_run_at=at, priority=7)

    run = Run.objects.get()
    assert (run.payload, run.run_at, run.priority) == ({"to": "ann"}, at, 7)


def test_options_say_when_and_how() -> None:
    command(
        "addjob",
        "mail.send",
        "to=ann",
        "--at=2033-01-01T09:00+01:00",
        "--priority=-5",
        "--max-attempts=9",
        "--timeout=1m30s",
    )
    command("addjob", "mail.send", "to=ann", "--delay=1h30m")

    at, delayed = Run.objects.order_by("pk")
    assert (at.run_at, at.priority, at.max_attempts) == (datetime(2033, 1, 1, 8, tzinfo=UTC), -5, 9)
    assert at.timeout_seconds == 90
    assert timedelta(hours=1.4) < delayed.run_at - timezone.now() <= timedelta(hours=1.5)


def test_options_say_whom_it_is_for() -> None:
    command(
        "addjob", "mail.send", "to=ann", "--tag=vip", "--tag=eu", "--tenant=acme", "--user=7", "--trace-id=4bf9",
        '--metadata={"source": "cli"}', "--expires-at=2033-01-01T00:00+00:00",
    )  # fmt: skip

    run = Run.objects.get()
    assert (run.tags, run.tenant, run.user, run.trace_id) == (["vip", "eu"], "acme", "7", "4bf9")
    assert (run.metadata, run.expires_at) == ({"source": "cli"}, datetime(2033, 1, 1, tzinfo=UTC))


def test_options_say_what_makes_it_unique() -> None:
    job(queue="mail", name="once", unique="live")(lambda: None)

    first = command("addjob", "mail.once", "--unique-key=a")
    assert command("addjob", "mail.once", "--unique-key=a").out == first.out
    with pytest.raises(CommandError, match="Job 'once' of queue 'mail' is unique, and run"):
        command("addjob", "mail.once", "--unique-key=a", "--on-duplicate=raise")
    second = command("addjob", "mail.once", "--unique-key=a", "--on-duplicate=replace")

    assert [run.reason for run in Run.objects.order_by("pk")] == ["replaced", None]
    assert second.out != first.out


OPTIONS = {
    "next_run_at": ("--at=2033-01-01T00:00Z", "run_at", datetime(2033, 1, 1, tzinfo=UTC)),
    "delay_seconds": ("--delay=1w", None, None),
    "priority": ("--priority=7", "priority", 7),
    "idempotency_key": ("--idempotency-key=order-7", None, None),
    "unique_key": ("--unique-key=a", "unique_key", "a"),
    "on_duplicate": ("--on-duplicate=raise", None, None),
    "max_attempts": ("--max-attempts=9", "max_attempts", 9),
    "timeout_seconds": ("--timeout=1m30s", "timeout_seconds", 90.0),
    "expires_at": ("--expires-at=2033-01-01T00:00Z", "expires_at", datetime(2033, 1, 1, tzinfo=UTC)),
    "concurrency_key": ("--concurrency-key=7", "concurrency_key", "7"),
    "rate_key": ("--rate-key=8", "rate_key", "8"),
    "tags": ("--tag=vip", "tags", ["vip"]),
    "tenant": ("--tenant=acme", "tenant", "acme"),
    "user": ("--user=9", "user", "9"),
    "trace_id": ("--trace-id=4bf9", "trace_id", "4bf9"),
    "metadata": ('--metadata={"source": "cli"}', "metadata", {"source": "cli"}),
}
"""Each option of ``add()``: how it is written, and the column that shows it, if one does."""


def test_every_option_of_add_can_be_given() -> None:
    parser = load_command_class("django_jobqueue", "addjob").create_parser("manage.py", "addjob")

    assert set(AddOptions.__annotations__) <= {action.dest for action in parser._actions}
    assert set(AddOptions.__annotations__) == set(OPTIONS)


@pytest.mark.parametrize("option", [name for name, (_, column, _) in OPTIONS.items() if column])
def test_an_option_of_add_reaches_the_run(option: str) -> None:
    @job(queue="mail", unique="live", rate_limit="5/m", concurrent_jobs_per_key=1)
    def take() -> None:
        pass

    written, column, value = OPTIONS[option]

    command("addjob", "mail.take", written)

    assert getattr(Run.objects.get(), str(column)) == value


def test_an_idempotency_key_prints_the_run_that_it_made_before() -> None:
    first, second = (command("addjob", "mail.send", "to=ann", "--idempotency-key=order-7") for _ in range(2))

    assert first.out == second.out
    with pytest.raises(CommandError, match="from other arguments"):
        command("addjob", "mail.send", "to=bob", "--idempotency-key=order-7")
    assert Run.objects.count() == 1


def test_what_the_job_does_not_let_in_is_an_error() -> None:
    job(queue="mail", name="ask", preflight={"on_before_add": lambda new: False})(lambda: None)

    with pytest.raises(CommandError, match="on_before_add of job 'ask' of queue 'mail' does not let it be added"):
        command("addjob", "mail.ask")

    assert not Run.objects.exists()


def test_a_program_gets_json() -> None:
    told = command("addjob", "mail.send", "to=ann", "--at=2033-01-01T09:00+01:00", "--format=json")

    assert json.loads(told.out) == {
        "id": Run.objects.get().pk,
        "queue": "mail",
        "job": "send",
        "added": True,
        "state": "pending",
        "run_at": "2033-01-01T08:00:00+00:00",
        "reason": None,
        "result": None,
        "error": None,
        "finished_at": None,
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["mail.sned", "to=ann"], "'mail.sned' is not a job. Did you mean 'mail.send'?"),
        (["send", "to=ann"], "'send' is not a job. Did you mean 'mail.send'?"),
        (["mail"], "'mail' is not a job. Did you mean 'mail.send'?"),
        (["mail", "sned"], "'sned' is not a job of queue 'mail'. Did you mean 'send'?"),
        (["mial", "send"], "'mial' is not a queue. Did you mean 'mail'?"),
        (["os.system"], "'os.system' is not a job. Known: mail.send."),
        ([""], "'' is not a job. Known: mail.send."),
        (["to=ann"], "Name one job first, as queue.job or as queue job; then its arguments, as key=value."),
        (["mail", "send", "ann"], "Name one job first"),
        (["mail.send", "bob", "to=ann"], "'bob' is not an argument of the job: write key=value."),
        (["mail.send", "to=ann", "to=bob"], "'to' is given twice: give it once."),
        (["mail.send", "to=ann", "bob"], "'bob' is not an argument of the job: write key=value."),
        (["mail.send", "=ann"], "'=ann' is not an argument of the job: write key=value."),
        (["mail.send"], "payload: does not fit send(). 'to' is missing."),
        (["mail.send", "to=ann", "subjct=x"], "'subjct' is not a parameter. Did you mean 'subject'?"),
        (["mail.send", "to=ann", "copies=NaN"], 'payload["copies"]: must be a whole number, got nan'),
        (["mail.send", "to=ann", "copies=99999999999999999999"], "an integer beyond 64 bits"),
        (["mail.send", "--payload", "{"], "argument --payload: is not JSON. "),
        (["mail.send", "--payload", '{"to": 1, "to": 2}'], "the key 'to' stands twice in one mapping."),
        (["mail.send", "--payload", "[1]"], "argument --payload: must be a JSON object, got '[1]'."),
        (["mail.send", "--payload", "[" * 100_000], "argument --payload: "),
        (["mail.send", "--payload-file", "/nowhere/payload"], "--payload-file: [Errno 2]"),
        (["mail.send", "--payload-file", "x", "--payload", "{}"], "not allowed with argument"),
        (["mail.send", "to=ann", "--at=tomorrow"], "argument --at: must be"),
        (["mail.send", "to=ann", "--at=9999-12-31T00:00"], "is more than ten years from now."),
        (["mail.send", "to=ann", "--delay=-1"], "argument --delay: must be a duration"),
        (["mail.send", "to=ann", "--delay=5m", "--at=now"], "Give next_run_at or delay_seconds, not both."),
        (["mail.send", "to=ann", "--priority=high"], "argument --priority: invalid int value: 'high'"),
        (["mail.send", "to=ann", "--priority=101"], "priority: must be a whole number from -100 to 100, got 101."),
        (["mail.send", "to=ann", "--max-attempts=0"], "max_attempts: must be a whole number from 1 to 1000, got 0."),
    ],
)
def test_what_cannot_work_is_refused_and_adds_nothing(arguments: list[str], told: str) -> None:
    with pytest.raises(CommandError) as caught:
        command("addjob", *arguments)

    assert told in str(caught.value)
    assert not Run.objects.exists()


def test_a_file_that_is_no_payload_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "payload.json"
    for content in (b"[]", b"\xff\xfe", b"nothing"):
        path.write_bytes(content)

        with pytest.raises(CommandError, match="--payload-file: "):
            command("addjob", "mail.send", "--payload-file", str(path))


@pytest.fixture
def worker(transactional_db: None) -> Iterator[None]:
    """Somebody works the queue beside the command."""
    with WorkerThread(["mail"], Recorder(), concurrency=1):
        yield


@pytest.mark.usefixtures("worker")
def test_one_can_wait_for_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addjob, "inf", PATIENCE_SECONDS)
    told = command("addjob", "mail.send", "to=ann", "--wait")

    assert told.out == '"sent to ann"\n'
    assert told.err == f"Run {Run.objects.get().pk} was added. Waiting for its end.\n"


@pytest.mark.usefixtures("worker")
def test_a_run_that_ends_badly_is_an_error() -> None:
    @job(queue="mail")
    def refuse() -> None:
        raise Fail("no \x1b[31muse")

    with pytest.raises(CommandError) as caught:
        command("addjob", "mail.refuse", "--wait=60s", "--format=json")

    assert str(caught.value) == rf"Run {Run.objects.get().pk} is failed (job_failed): Fail: no \x1b[31muse"
    assert caught.value.returncode == 1


def test_waiting_ends_in_time() -> None:
    with pytest.raises(CommandError, match=r"Run \d+ has not ended in time: it is pending\.") as caught:
        command("addjob", "mail.send", "to=ann", "--wait=0.01s")

    assert caught.value.returncode == waiting.STILL_GOING
