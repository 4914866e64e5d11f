"""What programs see of a worker: JSON lines, and text without colours."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from io import StringIO
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command

from django_jobqueue import Cancel, Fail, Retry, RunContext, Snooze, job, operations, queues
from django_jobqueue.management import json_lines
from django_jobqueue.models import Run
from tests.worker.conftest import Lose

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite]  # what lines say asks no database


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """The command must not replace the handlers of this process."""
    with patch("signal.signal"):
        yield


@pytest.fixture(autouse=True)
def no_wishes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "DJANGO_COLORS"):
        monkeypatch.delenv(name, raising=False)


def runjobs(*queues: str, **options: Any) -> str:
    """What the command prints until nothing can be claimed."""
    out = StringIO()
    call_command("runjobs", *queues, drain=True, stdout=out, **options)
    return out.getvalue()


def drain(**options: Any) -> list[dict[str, Any]]:
    """What it prints as JSON."""
    return [json.loads(line) for line in runjobs(log_format="json", **options).splitlines()]


def raise_(error: Exception) -> Callable[[], None]:
    def fall() -> None:
        raise error

    return fall


def note() -> None:
    pass


# --- JSON ----------------------------------------------------------------------------------------------------------


def test_what_is_logged_and_the_project_does_not_handle_is_an_object_on_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, unhandled = logging.lastResort, logging.getLogger("shop")
    monkeypatch.setattr(unhandled, "propagate", False)  # pytest would handle it

    @job
    def complain() -> None:
        unhandled.info("nobody asks")
        unhandled.warning("stock of %s is low", "tea")
        unhandled.error("lost", exc_info=ValueError("no tea"))

    queues.default.add("complain")

    drain()

    low, lost = map(json.loads, capsys.readouterr().err.splitlines())
    assert datetime.fromisoformat(low.pop("time")).utcoffset() == timedelta()
    assert low == {
        "event": "logged",
        "level": "warning",
        "logger": "shop",
        "message": "stock of tea is low",
        "traceback": None,
    }
    assert (lost["level"], lost["traceback"]) == ("error", "ValueError: no tea")
    assert logging.lastResort is before


def test_the_first_line_says_who_works_what(settings: Any) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}}}

    [started] = drain(concurrency=3)

    worker, time = started.pop("worker"), started.pop("time")
    assert started == {"event": "worker_started", "queues": ["default", "mail"], "slots": {}, "concurrency": 3}
    assert worker.count(":") == 2
    assert datetime.fromisoformat(time).utcoffset() == timedelta(0)


def test_each_attempt_is_one_object() -> None:
    job(note)
    run = queues.default.add("note")

    _, line = drain()

    assert datetime.fromisoformat(line.pop("time")).utcoffset() == timedelta(0)
    assert 0 <= line.pop("seconds") < 60
    assert line == {
        "event": "attempt_ended",
        "run": run.id,
        "attempt": 1,
        "queue": "default",
        "job": "note",
        "outcome": "completed",
        "state": "completed",
        "reason": "returned",
        "delay_seconds": None,
        "error": None,
    }


@pytest.mark.parametrize(
    ("act", "outcome", "state", "reason", "delay_seconds", "error"),
    [
        (raise_(ValueError("no")), "retried", "pending", None, 900, "ValueError: no"),
        (raise_(Retry(delay_seconds=60)), "retried", "pending", None, 60, "Retry"),
        (raise_(Snooze(delay_seconds=500)), "snoozed", "pending", None, 500, None),
        (raise_(Fail("useless")), "failed", "failed", "job_failed", None, "Fail: useless"),
        (raise_(Cancel("withdrawn")), "cancelled", "cancelled", "cancelled", None, "Cancel: withdrawn"),
    ],
)
def test_an_attempt_tells_how_it_ended_and_what_follows(
    act: Callable[[], None], outcome: str, state: str, reason: str | None, delay_seconds: float, error: str | None
) -> None:
    job(name="act", backoff={"mode": "fixed", "initial_seconds": 900, "jitter": 0})(act)
    queues.default.add("act")

    _, line = drain()

    assert (line["outcome"], line["state"], line["reason"]) == (outcome, state, reason)
    assert (line["delay_seconds"], line["error"]) == (delay_seconds, error)
    assert "traceback" not in line


def test_a_run_that_fails_after_it_was_asked_to_cancel_is_told_as_cancelled() -> None:
    @job
    def fall(*, run: RunContext) -> None:
        operations.cancel(run.id, actor="ann")
        raise ValueError("no")

    queues.default.add("fall")

    _, line = drain()

    assert (line["outcome"], line["state"], line["reason"]) == ("cancelled", "cancelled", "cancelled")


def test_a_run_whose_worker_vanished_is_an_object_too(lose: Lose) -> None:
    job(note)
    run = queues.default.add("note")
    lose(worker="gone:1:a")
    queues.default.pause(actor="ann")  # no other attempt follows

    _, lost = drain()

    assert (lost["event"], lost["run"], lost["attempt"], lost["worker"]) == ("attempt_lost", run.id, 1, "gone:1:a")
    assert (lost["outcome"], lost["state"], lost["delay_seconds"]) == ("crashed", "pending", 0)
    assert lost["error"].startswith("Worker gone:1:a vanished")


def test_what_a_job_says_cannot_break_a_line() -> None:
    job(name="act", max_attempts=1)(raise_(ValueError('"one"\ntwo\u2028three\r\n\x00\x1b[31m caf\u00e9')))
    queues.default.add("act")

    output = runjobs(log_format="json", verbosity=2)

    assert output.isascii()
    assert "\x1b" not in output
    assert len(output.splitlines()) == 2
    assert json.loads(output.splitlines()[1])["error"].startswith('ValueError: "one" two three')


def test_verbosity_0_prints_nothing_and_2_adds_tracebacks() -> None:
    job(name="act", max_attempts=1)(raise_(ValueError("no")))
    job(note)
    queues.default.add("act")

    silent = runjobs(log_format="json", verbosity=0)
    queues.default.bulk_add([{"job": "act"}, {"job": "note"}])
    _, *lines = drain(verbosity=2)

    tracebacks = {line["job"]: line["traceback"] for line in lines}
    assert silent == ""
    assert tracebacks["act"].startswith("Traceback (most recent call last):")
    assert tracebacks["act"].rstrip().endswith("ValueError: no")
    assert tracebacks["note"] is None


def test_a_stop_tells_how_many_runs_it_waits_for() -> None:
    out = StringIO()

    json_lines.JSONLines(out, verbosity=1).stopping(2, 25.0)  # type: ignore[arg-type]

    line = json.loads(out.getvalue())
    assert (line["event"], line["running"], line["grace_seconds"]) == ("worker_stopping", 2, 25.0)


def test_an_output_that_nobody_reads_does_not_stop_the_work() -> None:
    job(note)
    queues.default.bulk_add([{"job": "note"} for _ in range(3)])
    out = StringIO()
    out.close()

    call_command("runjobs", drain=True, log_format="json", stdout=out)

    assert set(Run.objects.values_list("state", flat=True)) == {"completed"}


def test_another_format_is_refused() -> None:
    with pytest.raises(CommandError, match=r"--log-format: invalid choice: 'xml'"):
        call_command("runjobs", "--log-format=xml", "--drain")


# --- Text without colours ------------------------------------------------------------------------------------------


def coloured(**options: Any) -> bool:
    """Whether lines of each kind have any escapes."""
    job(name="act", max_attempts=1)(raise_(ValueError("no")))
    job(name="again", backoff={"mode": "fixed", "initial_seconds": 900})(raise_(ValueError("no")))
    job(note)
    queues.default.bulk_add([{"job": "act"}, {"job": "again"}, {"job": "note"}])
    output = runjobs(**options)
    assert output.count("\n") == 5, output
    return "\x1b" in output


def test_lines_have_colours_where_they_are_wanted() -> None:
    assert coloured(force_color=True)


def test_lines_have_no_colours_in_a_file_or_a_pipe() -> None:
    assert not coloured()


def test_lines_have_no_colours_with_no_color() -> None:
    assert not coloured(no_color=True)


def test_the_variable_no_color_wins_over_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    assert not coloured(force_color=True)


def test_an_empty_no_color_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")

    assert coloured(force_color=True)


# --- Where it went wrong -------------------------------------------------------------------------------------------


def place(act: Callable[[], None]) -> str:
    """What the line of an attempt at *act* says between the error and what follows."""
    job(name="act", max_attempts=1)(act)
    queues.default.add("act")
    line = runjobs(no_color=True).splitlines()[-1]
    parts = line.split("; ")
    return parts[1] if len(parts) == 3 else ""


def test_a_failure_names_the_own_line_that_led_to_it_and_not_the_library() -> None:
    def fall() -> None:
        json.loads("{")

    first = fall.__code__.co_firstlineno

    assert place(fall) == f"tests/worker/test_json_lines.py:{first + 1}"


def test_a_failure_in_django_names_the_own_line_too() -> None:
    def fall() -> None:
        Run.objects.get(pk=0)

    first = fall.__code__.co_firstlineno

    assert place(fall) == f"tests/worker/test_json_lines.py:{first + 1}"


def test_of_several_causes_the_last_is_named() -> None:
    def fall() -> None:
        try:
            json.loads("{")
        except ValueError as error:
            raise KeyError("no") from error

    first = fall.__code__.co_firstlineno

    assert place(fall) == f"tests/worker/test_json_lines.py:{first + 4}"


def test_code_outside_of_the_working_directory_is_named_by_its_whole_path(tmp_path: Any) -> None:
    path = tmp_path / "elsewhere.py"
    names: dict[str, Any] = {}
    exec(compile("def fall():\n    raise ValueError('no')\n", str(path), "exec"), names)  # noqa: S102

    assert place(names["fall"]) == f"{path}:2"


def test_a_working_directory_whose_name_begins_alike_is_another(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path / "shop")
    path = tmp_path / "shop-tools" / "elsewhere.py"
    names: dict[str, Any] = {}
    exec(compile("def fall():\n    raise ValueError('no')\n", str(path), "exec"), names)  # noqa: S102

    assert place(names["fall"]) == f"{path}:2"


def test_the_packages_of_the_operating_system_are_no_own_code() -> None:
    names: dict[str, Any] = {}
    path = "/usr/lib/python3/dist-packages/elsewhere.py"
    exec(compile("def fall():\n    raise ValueError('no')\n", path, "exec"), names)  # noqa: S102

    assert place(names["fall"]) == ""


def test_a_failure_in_which_no_own_code_was_involved_names_no_place() -> None:
    names: dict[str, Any] = {}
    exec("def fall():\n    raise ValueError('no')\n", names)  # noqa: S102  # of "<string>"

    assert place(names["fall"]) == ""
