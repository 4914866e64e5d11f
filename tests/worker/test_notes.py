"""Progress and metadata: what a job says while it runs is to be seen, and nothing of it is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from django.db import transaction

from django_jobqueue import RunContext, Snooze, job, queues
from django_jobqueue.engines.base import Engine
from django_jobqueue.models import Run
from django_jobqueue.worker import heartbeat
from tests.worker.bench import PATIENCE_SECONDS, Gate, Recorder, wait_until
from tests.worker.conftest import OnConnect, StartWorker, Work

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = {"mode": "fixed", "initial_seconds": 0}


def test_progress_is_to_be_seen_while_the_job_runs(start_worker: StartWorker, gate: Gate) -> None:
    @job
    def copy(run: RunContext) -> None:
        run.progress(1, 4, "the first of four")
        gate.wait_to_pass()

    run = queues.default.add("copy")
    with start_worker():
        gate.wait_for_job()
        wait_until(lambda: Run.objects.filter(pk=run.pk, progress__isnull=False))

        run.refresh_from_db()
        assert (run.state, run.progress) == ("running", {"done": 1, "total": 4, "message": "the first of four"})
        gate.open()


@pytest.mark.postgresql
def test_progress_and_metadata_are_to_be_seen_while_the_job_is_in_a_transaction(
    start_worker: StartWorker, gate: Gate
) -> None:
    """On SQLite they wait for its end, as every other write does."""

    @job(max_attempts=1)
    def copy(run: RunContext) -> None:
        with transaction.atomic():
            queues.default.add("copy", delay_seconds=3600)
            run.progress(1, 2)
            run.update_metadata(page=7)
            gate.wait_to_pass()
            raise ValueError("undone")

    run = queues.default.add("copy")
    with start_worker(drain=True) as worker:
        gate.wait_for_job()
        wait_until(lambda: Run.objects.filter(pk=run.pk, progress__done=1, metadata__page=7))
        gate.open()
        worker.wait()

    run.refresh_from_db()
    assert Run.objects.get() == run
    assert (run.state, run.progress, run.metadata) == (
        "dead_lettered",
        {"done": 1, "total": 2, "message": ""},
        {"page": 7},
    )


def test_what_was_said_last_is_kept_however_short_the_job(work: Work) -> None:
    @job
    def count(run: RunContext) -> None:
        for number in range(1, 1001):
            run.progress(number, 1000)
            run.update_metadata(number=number)

    run = queues.default.add("count")

    work()

    run.refresh_from_db()
    assert (run.progress, run.metadata) == ({"done": 1000, "total": 1000, "message": ""}, {"number": 1000})


def test_a_job_that_says_a_lot_is_written_now_and_then(
    start_worker: StartWorker,
    observer: Recorder,
    on_connect: OnConnect,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heartbeat, "NOTES_SECONDS", 0.15)
    written: list[float] = []

    def watch(connection: Any) -> None:
        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql == engine.NOTE:  # type: ignore[attr-defined]
                written.append(monotonic())
            return execute(sql, params, many, context)

        connection.execute_wrappers.append(note)

    @job
    def chat(run: RunContext) -> int:
        said = 0
        while said < 100 or len(written) < 4:
            said += 1
            run.progress(said)
        return said

    on_connect(watch)
    runs = [queues.default.add("chat") for _ in range(3)]
    with start_worker(concurrency=3):
        observer.wait_until_settled(*runs)

    # The first may have come late, and so be followed by the second at once.
    assert written[3] - written[0] >= 2 * heartbeat.NOTES_SECONDS
    for run in runs:
        run.refresh_from_db()
        assert run.progress == {"done": run.result, "total": None, "message": ""}


def test_a_job_that_says_nothing_is_not_written_about(
    work: Work, observer: Recorder, on_connect: OnConnect, engine: Engine, start_worker: StartWorker
) -> None:
    statements: list[str] = []

    def watch(connection: Any) -> None:
        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            statements.append(sql)
            return execute(sql, params, many, context)

        connection.execute_wrappers.append(note)

    @job
    def keep_silent(run: RunContext) -> None:
        pass

    on_connect(watch)
    run = queues.default.add("keep_silent")
    with start_worker() as worker:
        observer.wait_until_settled(run)
        worker.chores.wait_for_turns(2)

    assert statements
    assert engine.NOTE not in statements  # type: ignore[attr-defined]


def test_a_run_keeps_its_metadata_for_the_next_attempt(work: Work) -> None:
    seen: list[dict[str, Any]] = []

    @job(backoff=AT_ONCE)
    def copy(run: RunContext) -> None:
        seen.append(dict(run.metadata))
        run.update_metadata(page=run.attempt, last={"of": (1, 2)})
        seen.append(dict(run.metadata))
        match run.attempt:
            case 1:
                raise ValueError
            case 2:
                raise Snooze

    run = queues.default.add("copy")
    Run.objects.filter(pk=run.pk).update(metadata={"source": "api", "page": 0})

    work()

    run.refresh_from_db()
    last = {"of": [1, 2]}
    assert seen == [
        {"source": "api", "page": 0},
        {"source": "api", "page": 1, "last": last},
        {"source": "api", "page": 1, "last": last},
        {"source": "api", "page": 2, "last": last},
        {"source": "api", "page": 2, "last": last},
        {"source": "api", "page": 3, "last": last},
    ]
    assert run.metadata == seen[-1]


def test_what_a_job_said_outlives_the_stop_of_its_worker(start_worker: StartWorker, gate: Gate) -> None:
    @job
    def copy(run: RunContext) -> None:
        run.progress(3)
        run.update_metadata(page=3)
        gate.wait_to_pass()

    run = queues.default.add("copy")
    with start_worker(grace_seconds=0) as worker:
        gate.wait_for_job()
        worker.stop()

    run.refresh_from_db()
    assert (run.state, run.releases) == ("pending", 1)
    assert (run.progress, run.metadata) == ({"done": 3, "total": None, "message": ""}, {"page": 3})


def test_what_a_stale_attempt_says_is_not_written(
    start_worker: StartWorker, observer: Recorder, gate: Gate, engine: Engine
) -> None:
    @job
    def copy(run: RunContext) -> None:
        gate.wait_to_pass()
        run.progress(1)
        run.update_metadata(page=1)

    run = queues.default.add("copy")
    with start_worker(drain=True) as worker:
        gate.wait_for_job()
        Run.objects.filter(pk=run.pk).update(attempt=2, worker="other:1:a")
        gate.open()
        worker.wait()

    run.refresh_from_db()
    assert (run.state, run.progress, run.metadata) == ("running", None, None)


def grow(run: RunContext) -> None:
    for number in range(10):
        run.update_metadata(**{f"part{number}": "x" * 200})


REFUSED: dict[str, Callable[[RunContext], object]] = {
    "InvalidRun: progress: done must be a number from 0 to 2**63, got -1.": lambda run: run.progress(-1),
    "InvalidRun: progress: done must be a number from 0 to 2**63, got True.": lambda run: run.progress(True),
    "InvalidRun: progress: done must be a number from 0 to 2**63, got '5'.": lambda run: run.progress("5"),  # type: ignore[arg-type]
    "InvalidRun: progress: done must be a number from 0 to 2**63, got nan.": lambda run: run.progress(float("nan")),
    "InvalidRun: progress: done must be a number from 0 to 2**63, got <int>.": lambda run: run.progress(10**5000),
    "InvalidRun: progress: total must be a number from 0 to 2**63, got -2.": lambda run: run.progress(1, -2),
    "InvalidRun: progress: message must be text, got b'x'.": lambda run: run.progress(1, message=b"x"),  # type: ignore[arg-type]
    'PayloadError: metadata["a"]["b"]: object is not JSON.': lambda run: run.update_metadata(a={"b": object()}),
    'PayloadError: metadata["x"]: Infinity is not JSON.': lambda run: run.update_metadata(x=float("inf")),
    "PayloadError: metadata[\"x\"]: 'a\\x00b' contains NUL": lambda run: run.update_metadata(x="a\0b"),
    "PayloadError: metadata: takes 1065 bytes as JSON, and 1000 are allowed.": grow,
}


@pytest.mark.parametrize(("error", "say"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_kept_is_refused_where_it_is_said(
    work: Work, settings: Any, error: str, say: Callable[[RunContext], object]
) -> None:
    settings.JOBQUEUE = {"payload_max_bytes": 1000}

    @job(max_attempts=1)
    def speak(run: RunContext) -> None:
        run.update_metadata(good=1)
        say(run)

    run = queues.default.add("speak")

    work()

    run.refresh_from_db()
    assert run.state == "dead_lettered"
    assert (run.error or "").startswith(error)
    assert (run.metadata or {}).get("good") == 1
    assert len(json.dumps(run.metadata, separators=(",", ":"))) <= 1000


def test_a_message_of_any_kind_can_be_shown(work: Work) -> None:
    @job
    def copy(run: RunContext) -> None:
        run.progress(0, 0, "\0\ud800 'and' \"so\" on: %s \u2028 " + "x" * 10_000)

    run = queues.default.add("copy")

    work()

    run.refresh_from_db()
    assert run.state == "completed"
    assert run.progress is not None
    assert run.progress["message"].startswith("\ufffd\\ud800 'and' \"so\" on: %s \u2028 xxx")
    assert len(run.progress["message"]) < 1_100


def test_what_many_jobs_say_is_written_together_and_once(
    start_worker: StartWorker, gate: Gate, on_connect: OnConnect, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat waits until all have spoken, and one of them speaks again when that is written."""
    monkeypatch.setattr(heartbeat, "NOTES_SECONDS", 0.1)
    all_have_spoken, is_written = threading.Event(), threading.Event()
    together = threading.Barrier(8, action=all_have_spoken.set, timeout=PATIENCE_SECONDS)
    batches: list[int] = []

    def watch(connection: Any) -> None:
        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            assert all_have_spoken.wait(PATIENCE_SECONDS)
            if sql == engine.NOTE:  # type: ignore[attr-defined]
                batches.append(len(json.loads(params["notes"])))
            return execute(sql, params, many, context)

        if threading.current_thread().name == "jobqueue-heartbeat":
            connection.execute_wrappers.append(note)

    @job
    def copy(run: RunContext) -> None:
        run.progress(1)
        if together.wait() == 0:
            assert is_written.wait(PATIENCE_SECONDS)
            run.progress(2)
        gate.wait_to_pass()

    on_connect(watch)
    queues.default.bulk_add([{"job": "copy"} for _ in range(8)])
    with start_worker(concurrency=8):
        wait_until(lambda: queues.default.runs().filter(progress__done=1).count() == 8)
        is_written.set()
        wait_until(queues.default.runs().filter(progress__done=2).exists)
        gate.open()

    assert batches == [8, 1]
