"""``showjobs``, where it shows runs."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError
from django.utils import timezone

from django_jobqueue.queue import Queue
from tests.admin.conftest import MakeRun
from tests.commands.conftest import command

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def queue(mail: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a queue named mail, and a terminal."""
    monkeypatch.setenv("COLUMNS", "100")


def listed(*arguments: str) -> list[int]:
    """The ids of the runs that are shown."""
    return [run["id"] for run in json.loads(command("showjobs", "--format=json", *arguments).out)]


def test_runs_stand_in_a_table_the_newest_first(make_run: MakeRun) -> None:
    now = timezone.now()
    dead = make_run("dead_lettered", attempt=3, finished_at=now - 3.5 * HOUR, error="SMTPError: 451 " + "x" * 100)
    waiting = make_run(run_at=now + 2.5 * HOUR, failures=1)

    titles, first, second = command("showjobs", "--runs").lines

    assert titles.split() == ["run", "state", "job", "attempt", "when", "error"]
    assert first.split() == [str(waiting.pk), "retrying", "mail.send", "0", "in", "2", "h"]
    assert re.fullmatch(rf"{dead.pk} +dead-lettered  mail\.send +3  3 h ago +SMTPError: 451 x+…", second)
    assert len(second) == 100


def test_an_error_gives_no_orders_to_the_terminal(make_run: MakeRun) -> None:
    make_run("failed", error="a\x1b[31m\nb")

    assert command("showjobs", "--runs").lines[1].endswith(r"a\x1b[31m\nb")


def test_lines_have_the_colour_of_their_state(make_run: MakeRun) -> None:
    make_run("failed")
    make_run()

    _, pending, failed = command("showjobs", "--runs", force_color=True, no_color=False).lines

    assert "\x1b" in failed
    assert "\x1b" not in pending


@pytest.mark.parametrize("form", ["text", "json", "csv"])
def test_secrets_of_the_payload_are_shown_in_no_list(make_run: MakeRun, form: str) -> None:
    make_run("failed", payload={"to": "ann", "password": "s3cr3t-word"}, error="401 for s3cr3t-word", tenant="acme")

    told = command("showjobs", "--runs", "--format", form).out

    assert "s3cr3t-word" not in told
    assert "401 for " in told


def test_each_filter_asks_for_runs(make_run: MakeRun) -> None:
    now = timezone.now()
    old = make_run("failed", reason="unknown_job", finished_at=now - 5 * HOUR)
    new = make_run("dead_lettered", reason="max_attempts", error="SMTPError: 451", tags=["vip", "eu"])
    live = make_run("running")
    other = make_run(queue="reports", job="render")

    assert listed("--runs") == [other.pk, live.pk, new.pk, old.pk]
    assert listed("--state=failed") == [old.pk]
    assert listed("--state=failed", "--state=running") == [live.pk, old.pk]
    assert listed("--end-reason=max_attempts") == [new.pk]
    assert listed("--since=2h", "--queue=mail") == [live.pk, new.pk]
    assert listed("--until", (now - HOUR).isoformat()) == [old.pk]
    assert listed("--error=smtperror") == [new.pk]
    assert listed("--tag=vip") == listed("--tag=vip", "--tag=eu") == [new.pk]
    assert listed("--tag=vip", "--tag=us") == []
    assert listed("--runs", "--job=send") == [live.pk, new.pk, old.pk]
    assert listed("--runs", "--queue=reports") == [other.pk]


def test_a_caller_in_python_gives_values(make_run: MakeRun) -> None:
    now = timezone.now()
    run = make_run("failed", finished_at=now)
    make_run("failed", finished_at=now - HOUR)

    told = command("showjobs", states=["failed"], since=now - timedelta(minutes=5), format="json")

    assert [each["id"] for each in json.loads(told.out)] == [run.pk]


def test_a_list_is_as_long_as_one_wants_and_says_so(make_run: MakeRun) -> None:
    _, *newer = [make_run().pk for _ in range(3)]

    told = command("showjobs", "--runs", "--limit=2", "--format=json")

    assert [run["id"] for run in json.loads(told.out)] == newer[::-1]
    assert told.err == "There are more than these 2. To see others, use --limit or --until.\n"
    assert command("showjobs", "--runs", "--limit=3").err == ""


def test_programs_get_what_is_neither_large_nor_secret(make_run: MakeRun) -> None:
    run = make_run(
        "completed", payload={"password": "x"}, result="x", metadata={"x": 1}, tags=["vip"],
        created_at=datetime(2026, 1, 1, tzinfo=UTC), error="=cmd()",
    )  # fmt: skip

    [shown] = json.loads(command("showjobs", "--runs", "--format=json").out)
    [row] = csv.DictReader(io.StringIO(command("showjobs", "--runs", "--format=csv").out))

    assert (shown["id"], shown["queue"], shown["state"], shown["tags"]) == (run.pk, "mail", "completed", ["vip"])
    assert shown["created_at"] == row["created_at"] == "2026-01-01T00:00:00+00:00"
    assert (row["id"], row["tags"], row["error"], row["worker"]) == (
        str(run.pk),
        '["vip"]',
        "'=cmd()",
        "web-1:4411:abcd",
    )
    assert shown.keys() == row.keys()
    assert not {"payload", "result", "metadata"} & shown.keys()


def test_no_runs_at_all_are_a_list_too() -> None:
    assert command("showjobs", "--runs").lines == ["run  state  job  attempt  when  error"]
    assert json.loads(command("showjobs", "--runs", "--format=json").out) == []
    assert command("showjobs", "--runs", "--format=csv").out.startswith("id,queue,")


def test_a_queue_and_a_job_that_are_declared_no_more_still_have_runs(make_run: MakeRun) -> None:
    run = make_run("failed", queue="old", job="gone")

    assert listed("--runs", "--queue=old", "--job=gone") == [run.pk]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--queue=mial"], "'mial' is not a queue. Did you mean 'mail'?"),
        (["--queue="], "queue: must be text of 1 to 1000 characters, got ''."),
        (["--job=sned"], "'sned' is not a job. Did you mean 'send'?"),
        (["--queue=default", "--job=send"], "'send' is not a job. There are none."),
        (["--state=faild"], "argument --state: invalid choice: 'faild'"),
        (["--end-reason=lots"], "argument --end-reason: invalid choice: 'lots'"),
        (["--since=yesterday"], 'argument --since: must be "now" or a moment such as'),
        (["--since=5x"], "argument --since: must be"),
        (["--limit=0"], "argument --limit: must be a whole number from 1 to 10000, got '0'."),
        (["--limit=many"], "argument --limit: must be a whole number from 1 to 10000, got 'many'."),
        (["--format=xml"], "argument --format: invalid choice: 'xml'"),
    ],
)
def test_what_cannot_be_asked_is_refused(arguments: list[str], told: str) -> None:
    with pytest.raises(CommandError) as caught:
        command("showjobs", "--runs", *arguments)

    assert told in str(caught.value)
