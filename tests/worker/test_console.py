"""What people see of a worker."""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BytesIO, StringIO, TextIOWrapper
from itertools import count
from time import monotonic
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_jobqueue import Cancel, Fail, Retry, RunContext, Snooze, job, operations, queues
from django_jobqueue.models import Run
from django_jobqueue.worker import runner
from tests.worker.conftest import Lose

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite]  # what lines say asks no database

MARK = r"\d\d:\d\d:\d\d ."


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """Put back the handlers that the command replaces."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def drain(*queues: str, verbosity: int = 1, **options: Any) -> list[str]:
    """Let the command work until nothing can be claimed; return the lines after its banner."""
    out = StringIO()
    call_command("runjobs", *queues, drain=True, verbosity=verbosity, no_color=True, stdout=out, **options)
    return out.getvalue().splitlines()[2:]


def test_a_banner_says_what_is_worked_and_how(settings: Any) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}, "reports": {}}}
    out = StringIO()

    call_command("runjobs", "mail", "reports", drain=True, concurrency=3, no_color=True, stdout=out)

    banner = out.getvalue().splitlines()
    assert re.search(
        r"django-jobqueue \d+\.\d+.* · (PostgreSQL|SQLite) 'default' · 3 slots for mail, reports", banner[0]
    )
    assert re.search(r"\b\S+:\d+:[0-9a-f]{8}\b", banner[1])


def test_what_is_logged_and_the_project_does_not_handle_is_a_line_with_its_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unhandled = logging.getLogger("shop")
    monkeypatch.setattr(unhandled, "propagate", False)  # pytest would handle it

    @job
    def complain() -> None:
        unhandled.warning("stock of %s\nis low", "tea\x1b[2J")

    queues.default.add("complain")

    drain()

    assert re.fullmatch(r"\d\d:\d\d:\d\d ! stock of tea\\x1b\[2J is low\n", capsys.readouterr().err)


def raise_(error: Exception) -> Callable[[], None]:
    def fall() -> None:
        raise error

    return fall


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda: None, r"✓ default\.act +#{id} +250 ms"),
        (raise_(ValueError("no")), r"✗ default\.act +#{id} +250 ms  ValueError: no(; \S+)?; again in 900 s"),
        (raise_(Retry(delay_seconds=60)), r"✗ default\.act +#{id} +250 ms  Retry(; \S+)?; again in 60 s"),
        (raise_(Snooze(delay_seconds=500)), r"… default\.act +#{id} +250 ms  again in 500 s"),
        (raise_(Fail("useless")), r"☠ default\.act +#{id} +250 ms  Fail: useless(; \S+)?; failed: job_failed"),
        (raise_(Cancel("withdrawn")), r"⊘ default\.act +#{id} +250 ms  Cancel: withdrawn(; \S+)?; cancelled"),
    ],
)
def test_each_attempt_is_one_readable_line(act: Callable[[], None], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "monotonic", count(monotonic(), 0.25).__next__)  # read at its begin, and at its end
    job(name="act", backoff={"mode": "fixed", "initial_seconds": 900, "jitter": 0})(act)
    run = queues.default.add("act")

    lines = drain()

    [line] = lines
    assert re.fullmatch(r"\d\d:\d\d:\d\d " + told.replace("{id}", str(run.id)), line.rstrip()), line


def test_a_run_that_fails_after_it_was_asked_to_cancel_is_marked_as_cancelled() -> None:
    @job
    def fall(*, run: RunContext) -> None:
        operations.cancel(run.id, actor="ann")
        raise ValueError("no")

    queues.default.add("fall")

    [line] = drain()

    assert re.search(r" ⊘ default\.fall .* ValueError: no; \S+; cancelled$", line), line


def test_the_last_attempt_of_a_run_says_that_it_was_given_up() -> None:
    @job(max_attempts=2, backoff={"mode": "fixed", "initial_seconds": 0})
    def fall() -> None:
        raise ValueError("no")

    queues.default.add("fall")

    first, second = drain()

    assert "ValueError: no" in first
    assert first.endswith("again at once")
    assert second.endswith("dead-lettered: max_attempts")
    assert "☠" in second


def test_a_retry_at_a_moment_says_when() -> None:
    @job
    def wait() -> None:
        raise Retry(at=timezone.now() + timedelta(seconds=3600))

    queues.default.add("wait")

    [line] = drain()

    assert "at once" not in line
    assert re.search(r"again (in 3[56]\d\d s|in 3\.6e\+03 s|in 1 h|at )", line), line


@pytest.mark.parametrize(("error", "told"), [("No card.", "ValueError: No card; "), ("So...", "ValueError: So...; ")])
def test_the_full_stop_of_an_error_does_not_end_its_line(error: str, told: str) -> None:
    job(max_attempts=1, name="fall")(raise_(ValueError(error)))
    queues.default.add("fall")

    [line] = drain()

    assert told in line
    assert line.endswith("dead-lettered: max_attempts")


def test_an_error_of_several_lines_is_told_on_one() -> None:
    @job(max_attempts=1)
    def fall() -> None:
        raise ValueError("first line\nsecond line\r\nthird line")

    queues.default.add("fall")

    lines = drain()

    assert len(lines) == 1


def test_an_error_gives_no_orders_to_the_terminal() -> None:
    @job(max_attempts=1)
    def fall() -> None:
        raise ValueError("\x1b[2J\u202egone")

    queues.default.add("fall")

    lines = drain(verbosity=2)

    assert "\x1b" not in "".join(lines)
    assert "\u202e" not in "".join(lines)
    assert r"ValueError: \x1b[2J\u202egone" in lines[0]
    assert lines[-1] == r"ValueError: \x1b[2J\u202egone"


def test_a_run_whose_worker_vanished_is_told(lose: Lose) -> None:
    @job
    def note() -> None:
        pass

    run = queues.default.add("note")
    lose(worker="gone:1:a")
    queues.default.pause(actor="ann")  # no other attempt follows

    [crashed] = drain()

    assert re.fullmatch(rf"{MARK} default\.note +#{run.id} +-  Worker gone:1:a vanished: .*; again at once", crashed)


def test_verbosity_0_is_silent_and_2_shows_tracebacks() -> None:
    @job(max_attempts=1)
    def fall() -> None:
        raise ValueError("no")

    queues.default.add("fall")
    silent = StringIO()
    call_command("runjobs", drain=True, verbosity=0, stdout=silent)
    queues.default.add("fall")

    lines = drain(verbosity=2)

    assert silent.getvalue() == ""
    assert "Traceback (most recent call last):" in lines
    assert lines[-1] == "ValueError: no"


def test_without_use_tz_the_lines_still_tell_the_time(settings: Any) -> None:
    settings.USE_TZ = False

    @job
    def note() -> None:
        pass

    queues.default.add("note")

    [line] = drain()

    assert re.match(r"\d\d:\d\d:\d\d ✓ default\.note", line), line


def test_a_closed_output_does_not_stop_the_work() -> None:
    @job
    def note() -> None:
        pass

    queues.default.bulk_add([{"job": "note"} for _ in range(3)])
    out = StringIO()
    out.close()

    call_command("runjobs", drain=True, stdout=out)

    assert set(Run.objects.values_list("state", flat=True)) == {"completed"}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_output_that_cannot_show_our_marks_shows_the_rest(encoding: str) -> None:
    @job(max_attempts=1)
    def fall() -> None:
        raise ValueError("caf\u00e9 \u2615")

    runs = [queues.default.add("fall") for _ in range(2)]
    raw = BytesIO()
    out = TextIOWrapper(raw, encoding=encoding)

    call_command("runjobs", drain=True, no_color=True, stdout=out)

    out.flush()
    text = raw.getvalue().decode(encoding)
    assert "slots for default" in text
    for run in runs:
        assert f"#{run.id}" in text


def test_without_names_the_queues_with_run_on_startup_are_worked(settings: Any) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}, "reports": {"run_on_startup": False}}}

    def note() -> None:
        pass

    for name in ("default", "mail", "reports"):
        job(queue=name)(note)
        queues[name].add("note")

    drain()

    assert dict(Run.objects.values_list("queue", "state")) == {
        "default": "completed",
        "mail": "completed",
        "reports": "pending",
    }


def test_a_queue_without_run_on_startup_is_worked_when_it_is_named(settings: Any) -> None:
    settings.JOBQUEUE = {"queues": {"reports": {"run_on_startup": False}}}

    @job(queue="reports")
    def note() -> None:
        pass

    run = queues.reports.add("note")

    drain("reports")

    run.refresh_from_db()
    assert run.state == "completed"


def test_an_unknown_queue_is_refused_with_the_nearest_name(settings: Any) -> None:
    settings.JOBQUEUE = {"queues": {"notifications": {}}}

    with pytest.raises(CommandError, match=r"'notfications' is not a queue\. Did you mean 'notifications'\?"):
        call_command("runjobs", "notfications", drain=True)


def test_a_server_beside_a_worker_that_drains_is_refused() -> None:
    with pytest.raises(CommandError, match="argument --with-runserver: not allowed with argument --drain"):
        call_command("runjobs", "--drain", "--with-runserver")


def test_an_empty_name_is_no_queue() -> None:
    with pytest.raises(CommandError, match=r"'' is not a queue\. Known: default\."):
        call_command("runjobs", "", drain=True)


def test_no_queue_at_all_is_refused(settings: Any) -> None:
    settings.JOBQUEUE = {"queues": {"default": {"run_on_startup": False}}}

    with pytest.raises(CommandError, match="No queue has run_on_startup"):
        call_command("runjobs", drain=True)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("concurrency", "0"),
        ("concurrency", "many"),
        ("concurrency", "1000000"),
        ("processes", "-1"),
        ("grace", "-1"),
        ("grace", "inf"),
        ("grace", "nan"),
    ],
)
def test_impossible_numbers_are_refused(option: str, value: str) -> None:
    with pytest.raises(CommandError, match=f"--{option}.*must be a (whole )?number from"):
        call_command("runjobs", f"--{option}={value}", "--drain")
