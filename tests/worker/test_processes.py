"""Jobs in processes of their own: what one of them does to its process happens to nobody else."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import reload
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, cast

import psutil
import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, transaction
from django.utils import timezone, translation

import tests.shop.jobs as shop
from django_jobqueue import RunContext, job, operations, queues
from django_jobqueue.engines.base import Claim, Engine, Ref
from django_jobqueue.jobs import Notes, registry
from django_jobqueue.models import Run, Worker
from django_jobqueue.worker import heartbeat, leases, watchdog
from django_jobqueue.worker import worker as rules
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.child import Child
from django_jobqueue.worker.executors import child_process, processes
from django_jobqueue.worker.executors.child_process import ChildProcess, NotStarted
from django_jobqueue.worker.reaper import crashed
from django_jobqueue.worker.runner import Ended
from django_jobqueue.worker.self_fence import END_LEASES
from django_jobqueue.worker.wire import Wire, plain
from tests.acceptance.programs import Effects
from tests.engines.endings import reap
from tests.worker.bench import PATIENCE_SECONDS, Recorder, join_threads, wait_until
from tests.worker.conftest import OnConnect, StartWorker, Work, end_lease

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sqlite,  # what happens between a worker and its child asks no database, but for what is marked as well
]


@pytest.fixture(autouse=True)
def effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: None, quick_heartbeat: None) -> Iterator[Effects]:
    """The jobs of the shop, which children know too, and what they leave behind."""
    monkeypatch.setenv(shop.FOLDER, str(tmp_path))
    monkeypatch.setattr(heartbeat, "NOTES_SECONDS", 0.2)
    monkeypatch.setattr(watchdog, "LONGEST_SECONDS", 0.05)
    monkeypatch.setattr(child_process, "LAST_SECONDS", PATIENCE_SECONDS)
    reload(shop)
    effects = Effects(tmp_path)
    yield effects
    effects.open_gate()
    join_threads()  # and with them their children, which the next test would take for its own


def ended(run: Run) -> tuple[str, str]:
    """Its state, and what its last attempt came to."""
    run.refresh_from_db()
    return run.state, run.attempts.order_by("number").last().outcome  # type: ignore[union-attr]


def descendants() -> list[psutil.Process]:
    """The children of this process, and theirs, but for database servers and other tests."""
    return [each for each in psutil.Process().children(recursive=True) if "worker.child" in " ".join(_command(each))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_child_runs_one_job_after_the_other_and_ends_with_its_worker(
    start_worker: StartWorker, observer: Recorder
) -> None:
    with start_worker(concurrency=1):
        runs = [queues.default.add("tell_pid") for _ in range(3)]
        observer.wait_until_settled(*runs)
        [child] = descendants()

    pids = set(Run.objects.values_list("result", flat=True))
    assert pids == {child.pid}
    assert child.pid != os.getpid()
    wait_until(lambda: not child.is_running())


def test_a_child_looks_for_garbage_in_what_jobs_leave_only(work: Work) -> None:
    run = queues.default.add("tell_of_garbage")

    work()

    run.refresh_from_db()
    assert run.result == {"collects": True, "has_frozen": True}


def test_a_job_that_takes_its_process_down_is_settled_at_once_and_disturbs_nobody(
    start_worker: StartWorker, observer: Recorder, effects: Effects, settings: Any
) -> None:
    told = [
        "The process of the job was killed by signal 11 (SIGSEGV).",
        "The process of the job was killed by signal 9 (SIGKILL), as the system does when memory runs out.",
    ]
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.05, "lease_seconds": 3600}}
    beside = queues.default.add("linger")
    with start_worker(concurrency=2):
        effects.wait_for("start")
        run = queues.default.add("die", {"ways": ["segfault", "kill"]})
        observer.wait_for(lambda: observer.settled_ids().count(run.id) == 2)
        effects.open_gate()
        observer.wait_until_settled(beside)

    assert ended(run) == ("dead_lettered", "crashed")
    assert (run.reason, run.crashes, run.failures, run.error) == ("max_crashes", 2, 0, told[1])
    assert run.progress is None or (run.progress["done"], run.progress["total"]) == (1, 2)
    assert list(run.attempts.order_by("number").values_list("error", flat=True)) == told
    assert ended(beside) == ("completed", "completed")
    first, second = (effect for effect in effects.all("start") if effect.run_id == run.id)
    assert run.attempts.get(number=1).finished_at.timestamp() - first.at < PATIENCE_SECONDS / 2
    assert second.pid != first.pid


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_a_process_that_a_job_has_forked_answers_for_no_run(
    start_worker: StartWorker, observer: Recorder, executor: str
) -> None:
    @job
    def fork_here(how: str) -> int:
        return shop.fork(how)

    name = "fork" if executor == "process" else "fork_here"
    runs = [queues.default.add(name, {"how": how}) for how in ("return", "exit", "fail")]
    with start_worker(concurrency=1):  # one after the other, in the same child
        observer.wait_until_settled(*runs)

    assert list(Run.objects.order_by("pk").values_list("state", "result")) == [
        ("completed", code) for code in (0, 3, 1)
    ]


@pytest.mark.postgresql
@pytest.mark.parametrize("die", ["before the commit", "after the commit"])
def test_an_atomic_job_whose_process_is_killed_is_done_once_or_not_at_all(
    start_worker: StartWorker, observer: Recorder, settings: Any, die: str
) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.05, "lease_seconds": 60}}
    run = queues.default.add("enter_in_child", {"die": die})
    with start_worker(concurrency=1):
        observer.wait_for(lambda: any(state == "completed" for _, state in observer.settled))

    assert ended(run) == ("completed", "completed")
    assert list(Group.objects.values_list("name", flat=True)) == [run.result]
    assert [ended.settlement.outcome for ended, _ in observer.settled] == [
        *(["crashed"] if die == "before the commit" else []),
        "completed",
    ]


def test_a_child_tells_that_its_job_has_committed_before_it_calls_its_hooks(
    start_worker: StartWorker, observer: Recorder, effects: Effects
) -> None:
    run = queues.default.add("enter_in_child", {"die": "never, but wait after the commit"})
    with start_worker() as worker:
        effects.wait_for("start")
        [lease] = worker.worker._leases.all()
        wait_until(lambda: lease.has_committed)
        assert (lease.excludes_writers, ended(run)) == (False, ("completed", "completed"))
        effects.open_gate()
        observer.wait_until_settled(run)


def test_what_a_job_says_from_a_child_is_to_be_seen_and_decides(
    start_worker: StartWorker, observer: Recorder, effects: Effects
) -> None:
    run = queues.default.add("speak")
    with start_worker():
        wait_until(lambda: Run.objects.filter(pk=run.pk, progress__done=1, metadata__page=7).exists())
        assert Run.objects.get(pk=run.pk).state == "running"
        effects.open_gate()
        observer.wait_until_settled(run)

    assert ended(run) == ("pending", "snoozed")
    assert (run.snoozes, run.result) == (1, None)


def test_a_job_is_interrupted_when_its_time_is_over(work: Work, effects: Effects) -> None:
    names = ["overrun", "overrun_too"]
    runs = [queues.default.add(name) for name in names]

    work(concurrency=1)

    for run, name in zip(runs, names, strict=True):
        assert ended(run) == ("dead_lettered", "timed_out")
        assert run.error == "AttemptTimedOut: The attempt took longer than its timeout of 0.3 s."
        assert f"in {name}" in (run.attempts.get().traceback or "")
    assert len(effects.all("end")) == 1


@pytest.mark.slow
def test_a_job_that_heeds_no_exception_is_killed_with_what_it_has_started(
    start_worker: StartWorker, observer: Recorder, effects: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has done its worst before its hard timeout comes."""
    begun = threading.Event()
    monkeypatch.setattr(child_process, "monotonic", lambda: monotonic() if begun.is_set() else 0.0)
    run = queues.default.add("defy")
    with start_worker(concurrency=1):
        [start] = effects.wait_for("start")
        family = [psutil.Process(start.pid), *psutil.Process(start.pid).children()]
        begun.set()
        observer.wait_until_settled(run)
        observer.wait_until_settled(queues.default.add("tell_pid"))  # in the same slot: it did not leak
        wait_until(lambda: not any(_is_alive(each) for each in family))

    assert len(family) == 2
    assert ended(run) == ("dead_lettered", "timed_out")
    assert run.error == "The attempt was cut off: it took longer than its hard timeout of 0.5 s."


def _is_alive(process: psutil.Process) -> bool:
    try:  # its first thread may be a zombie while others still end, and then nobody can wait for it yet
        return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("force", [False, True], ids=["asked", "by force"])
def test_a_job_is_interrupted_when_its_run_is_cancelled_and_the_next_one_is_not(
    start_worker: StartWorker, observer: Recorder, effects: Effects, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    """Also by force, nobody is killed who heeds it; and who succeeds all the same has succeeded."""
    monkeypatch.setattr(leases, "FORCE_SECONDS", PATIENCE_SECONDS)

    def cancelled(name: str) -> Run:
        run = queues.default.add(name)
        wait_until(lambda: any(effect.run_id == run.id for effect in effects.all("start")))
        operations.cancel(run.id, actor="ann", force=force)
        observer.wait_until_settled(run)
        return run

    with start_worker(concurrency=1):
        plain, coroutine, successful = (cancelled(name) for name in ("linger", "linger_too", "shrug"))
        observer.wait_until_settled(following := queues.default.add("tell_pid"))

    assert ended(plain) == ended(coroutine) == ("cancelled", "cancelled")
    assert plain.error == "Cancel: The run was cancelled."
    assert len(effects.all("cancelled")) == 1
    assert ended(successful) == ended(following) == ("completed", "completed")
    assert successful.result == "asked to end: True"
    assert {effect.pid for effect in effects.all()} == {following.result}


@pytest.fixture
def quick_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "FORCE_SECONDS", 0.2)


def test_a_job_that_heeds_no_cancellation_is_killed_where_it_is_cancelled_by_force(
    start_worker: StartWorker, observer: Recorder, effects: Effects, quick_force: None
) -> None:
    """That is no crash, and takes no slot with it."""
    run = queues.default.add("stand_firm")
    with start_worker(concurrency=1) as worker:
        [begun] = effects.wait_for("start")
        [lease] = worker.worker._leases.all()
        operations.cancel(run.id, actor="ann")
        wait_until(lambda: lease.interrupted)
        assert lease.kill_at == inf
        operations.cancel(run.id, actor="ann", force=True)
        observer.wait_until_settled(run)
        following = queues.default.add("tell_pid")
        observer.wait_until_settled(following)

    assert ended(run) == ("cancelled", "cancelled")
    assert (run.crashes, run.failures) == (0, 0)
    assert run.error == "Cancel: The job did not end when it was asked to, and its process was killed."
    assert not psutil.pid_exists(begun.pid)
    assert ended(following) == ("completed", "completed")


def test_a_job_whose_run_is_cancelled_by_force_is_killed_also_while_the_heartbeat_waits_for_the_database(
    start_worker: StartWorker, observer: Recorder, effects: Effects, quick_force: None, on_connect: OnConnect
) -> None:
    back = threading.Event()

    def watch(connection: Any) -> None:
        def hang(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            assert lease is None or lease.kill_at == inf or back.wait(PATIENCE_SECONDS)
            return execute(sql, params, many, context)

        if threading.current_thread().name == "jobqueue-heartbeat":
            connection.execute_wrappers.append(hang)

    lease = None
    on_connect(watch)
    run = queues.default.add("stand_firm")
    with start_worker(concurrency=1) as worker:
        [begun] = effects.wait_for("start")
        [lease] = worker.worker._leases.all()
        operations.cancel(run.id, actor="ann", force=True)
        observer.wait_until_settled(run)
        back.set()

    assert ended(run) == ("cancelled", "cancelled")
    wait_until(lambda: not psutil.pid_exists(begun.pid))


def test_a_job_whose_run_was_taken_over_is_killed_if_it_does_not_end(
    start_worker: StartWorker,
    observer: Recorder,
    effects: Effects,
    engine: Engine,
    quick_force: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = queues.default.add("stand_firm")
    with start_worker(concurrency=1):  # so that it does not take its own run over
        [begun] = effects.wait_for("start")
        with transaction.atomic():  # so that no heartbeat renews the lease meanwhile
            end_lease(run.id)
            reap(engine, "default", crashed)
            engine.claim("default", "default", worker="other:1:a", limit=1, lease_seconds=3600)
        observer.wait_until_settled(queues.default.add("tell_pid"))

    assert not psutil.pid_exists(begun.pid)
    assert ended(run) == ("running", "crashed")
    assert run.worker == "other:1:a"
    assert "Lease lost" in caplog.text
    assert "Lease in doubt" not in caplog.text


@pytest.mark.parametrize(
    ("options", "missed"),
    [pytest.param({}, END_LEASES, marks=pytest.mark.slow), ({"concurrent_jobs": 1}, 0.95)],
    ids=["any", "exclusive"],
)
def test_a_job_whose_lease_is_in_doubt_is_killed_if_it_does_not_end_and_its_run_starts_again_for_nothing(
    start_worker: StartWorker,
    observer: Recorder,
    effects: Effects,
    on_connect: OnConnect,
    settings: Any,
    options: dict[str, Any],
    missed: float,
) -> None:
    """No heartbeat reaches the database as long as the first attempt runs."""
    away, refused = threading.Event(), threading.Event()

    def watch(connection: Any) -> None:
        def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if away.is_set() and lease.claim.ref in worker.worker._leases:
                refused.set()
                raise OperationalError("the network is down")
            return execute(sql, params, many, context)

        if threading.current_thread().name == "jobqueue-heartbeat":
            connection.execute_wrappers.append(refuse)

    on_connect(watch)
    settings.JOBQUEUE["queues"] = {"default": options}
    run = queues.default.add("stand_firm")
    with start_worker(concurrency=1) as worker:
        [first] = effects.wait_for("start")
        [lease] = worker.worker._leases.all()
        away.set()
        assert refused.wait(PATIENCE_SECONDS)
        lease.renewed_at = monotonic() - missed * lease.seconds
        effects.wait_for("start", 2)
        effects.open_gate()
        observer.wait_for(lambda: observer.settled_ids() == [run.id, run.id])

    assert not psutil.pid_exists(first.pid)
    assert ended(run) == ("completed", "completed")
    assert (run.attempt, run.crashes, run.failures, run.releases) == (2, 0, 0, 1)
    assert (lease.kill_at < lease.renewed_at + lease.seconds) == bool(options)


def test_a_job_in_a_thread_is_only_asked_to_end_by_force(
    start_worker: StartWorker, observer: Recorder, effects: Effects, quick_force: None
) -> None:
    begun = threading.Event()

    @job
    def look(*, run: RunContext) -> str:
        begun.set()
        wait_until(lambda: run.cancel_requested)
        wait_until((effects.folder / "gate").exists)
        return "completed all the same"

    run = queues.default.add("look")
    with start_worker() as worker:
        assert begun.wait(PATIENCE_SECONDS)
        operations.cancel(run.id, actor="ann", force=True)
        [lease] = worker.worker._leases.all()
        wait_until(lambda: lease.kill_at + 0.5 < monotonic())
        effects.open_gate()
        observer.wait_until_settled(run)

    assert ended(run) == ("completed", "completed")


def test_a_run_that_is_cancelled_while_its_child_starts_does_not_begin(
    start_worker: StartWorker, effects: Effects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "slow_settings.py").write_text(SLOW_SETTINGS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "slow_settings")
    run = queues.default.add("linger")
    with start_worker() as worker:
        wait_until((tmp_path / "starting").exists)
        operations.cancel(run.id, actor="ann")
        wait_until(lambda: any(lease.interrupted for lease in worker.worker._leases.all()))
        (tmp_path / "go on").touch()
        wait_until(Run.objects.in_state("cancelled").exists)

    assert effects.all() == []
    assert not run.attempts.exists()


SLOW_SETTINGS = """
import time
from pathlib import Path

Path(__file__).with_name("starting").touch()
while not Path(__file__).with_name("go on").exists():
    time.sleep(0.01)

from tests.program_settings import *
"""


@pytest.mark.postgresql
def test_what_a_job_leaves_behind_in_its_child_ends_with_it(start_worker: StartWorker, observer: Recorder) -> None:
    """A transaction; the surroundings of the process; a language and a time zone."""
    names = ["leave_transaction_open", "wander", "translate"]
    with start_worker(concurrency=1):
        observer.wait_until_settled(*[queues.default.add(name) for name in names for _ in range(2)])

    assert set(Run.objects.values_list("state", "failures")) == {("completed", 0)}
    for name, found in zip(names, [False, [os.getcwd(), umask()], in_which_language()], strict=True):
        assert list(Run.objects.filter(job=name).values_list("result", flat=True)) == [found, found]
    assert not Group.objects.exists()


def in_which_language() -> list[str]:
    """A process speaks, and counts its hours."""
    return [translation.get_language(), timezone.get_default_timezone_name()]


def test_a_language_and_a_time_zone_that_a_job_activates_in_a_thread_end_with_it(
    start_worker: StartWorker, observer: Recorder
) -> None:
    @job
    def translate_here() -> list[str]:
        return shop.translate()

    with start_worker(concurrency=1):
        observer.wait_until_settled(*[queues.default.add("translate_here") for _ in range(2)])

    assert list(Run.objects.values_list("result", flat=True)) == [in_which_language()] * 2


def umask() -> int:
    """That of this process."""
    os.umask(mask := os.umask(0o077))
    return mask


@pytest.mark.slow
def test_a_child_that_cannot_tell_its_worker_what_the_job_notes_ends(engine: Engine, effects: Effects) -> None:
    queues.default.add("speak")
    [claim] = engine.claim("default", "default", worker="me:1:a", limit=1, lease_seconds=30)
    child = ChildProcess()
    child.wait_until_ready()
    child._wire.send(run=plain(claim))
    effects.wait_for("start")

    child._wire._end.shutdown(socket.SHUT_RD)

    assert child._process.wait(PATIENCE_SECONDS) == 1
    child.leave()


def test_a_crash_counts_from_where_the_child_has_taken_the_run(engine: Engine) -> None:
    """Then it may have been the run that ended the process; until then it was not."""
    for name in ("never_begin", "tell_pid"):
        queues.default.add(name)
    claims = engine.claim("default", "default", worker="me:1:a", limit=2, lease_seconds=30)
    fatal, innocent = (Assignment(claim, registry.get("default", claim.job)) for claim in claims)
    started: list[Claim] = []
    child = ChildProcess()
    child.wait_until_ready()

    crashed = child.attempt(fatal, started.append)
    with pytest.raises(NotStarted, match="exited with code 3 before it had taken the run"):
        child.attempt(innocent, started.append)

    assert isinstance(crashed, Ended)
    assert crashed.settlement.error == "The process of the job exited with code 3."
    assert (crashed.settlement.outcome, crashed.settlement.counter) == ("crashed", "crashes")
    assert started == []
    child.leave()


def test_nothing_ends_an_attempt_but_who_means_it(engine: Engine, effects: Effects) -> None:
    """What comes late may have been meant for the one before.

    Platforms send SIGTERM, and terminals SIGINT, to every process at once: the worker decides what that means.
    """
    queues.default.add("linger")
    [claim] = engine.claim("default", "default", worker="me:1:a", limit=1, lease_seconds=30)
    before = Ref(claim.id, claim.attempt - 1)
    child = ChildProcess()
    child.wait_until_ready()
    with ThreadPoolExecutor(1) as slot:
        ended = slot.submit(child.attempt, Assignment(claim, registry.get("default", "linger")), lambda _: None)
        effects.wait_for("start")
        child.kill_attempt(before)
        child.interrupt(before, "The run was cancelled.")
        child._wire.send(interrupt=list(before), why="The run was cancelled.")
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(child.pid, number)
        effects.open_gate()

    assert cast(Ended, ended.result()).settlement.result == '"not cancelled"'
    child.leave()


def test_a_child_that_does_not_read_is_killed_and_keeps_nobody_waiting(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "SEND_SECONDS", 0.2)
    queues.default.add("tell_pid")
    [claim] = engine.claim("default", "default", worker="me:1:a", limit=1, lease_seconds=30)
    large = claim._replace(payload="x" * 2**22)  # more than the system keeps for it
    child = ChildProcess()
    child.wait_until_ready()
    os.kill(child.pid, signal.SIGSTOP)

    with pytest.raises(NotStarted, match="did not read which run it is to take"):
        child.attempt(Assignment(large, registry.get("default", "tell_pid")), lambda _: None)

    child.interrupt(claim.ref, "The run was cancelled.")
    child.leave()
    assert not psutil.pid_exists(child.pid)


def test_what_a_job_has_noted_is_not_told_after_its_end() -> None:
    """It would be taken for what the next one has."""

    class Watched(Notes):
        def unstored(self) -> Any:
            guarded.append(child._changing.locked())
            return super().unstored()

    guarded: list[bool] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = Child(Wire(theirs))
        child._now = Ref(1, 1), Watched(None)
        child._tell_notes()

    assert guarded == [True]


def test_a_worker_that_stops_kills_what_does_not_end_and_hands_the_run_back(
    start_worker: StartWorker, effects: Effects, on_connect: OnConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for a child that keeps it from writing."""
    on_connect(lambda new: new.connection.execute("PRAGMA busy_timeout = 100"))  # here; the child has its own
    monkeypatch.setattr(rules, "LAST_TRIES_SECONDS", PATIENCE_SECONDS)

    @job
    def end_beside() -> str:
        effects.wait_for("start")
        return "done"

    runs = queues.default.bulk_add([{"job": "linger_in_transaction"}, {"job": "end_beside"}])
    lingering, beside = (Run.objects.get(pk=pk) for pk in runs)
    with start_worker(concurrency=2, grace_seconds=0) as worker:
        wait_until(lambda: any(lease.has_ended for lease in worker.worker._leases.all()))
        process = psutil.Process(effects.all("start")[0].pid)
        code = worker.stop()

    assert code == 0
    assert ended(lingering) == ("pending", "released")
    assert (lingering.crashes, lingering.failures, lingering.releases) == (0, 0, 1)
    assert ended(beside) == ("completed", "completed")
    wait_until(lambda: not _is_alive(process))


@pytest.mark.slow
def test_an_idle_child_that_was_killed_costs_the_next_run_nothing(
    start_worker: StartWorker, observer: Recorder
) -> None:
    with start_worker(concurrency=1):
        observer.wait_until_settled(first := queues.default.add("tell_pid"))
        first.refresh_from_db()
        process = psutil.Process(first.result)
        process.kill()
        wait_until(lambda: not _is_alive(process))
        observer.wait_until_settled(run := queues.default.add("tell_pid"))

    assert ended(run) == ("completed", "completed")
    assert (run.attempt, run.result != first.result) == (1, True)


# Recycling.


@pytest.mark.slow
def test_a_child_is_replaced_after_so_many_runs(start_worker: StartWorker, observer: Recorder, settings: Any) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.05, "recycle_after_runs": 2}}
    with start_worker(concurrency=1):
        runs = [queues.default.add("tell_pid") for _ in range(3)]
        observer.wait_until_settled(*runs)

    first, second, third = Run.objects.order_by("pk").values_list("result", flat=True)
    assert first == second != third


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell")
def test_a_child_that_takes_too_much_memory_is_replaced(
    start_worker: StartWorker, observer: Recorder, settings: Any
) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.05, "recycle_after_megabytes": 200}}
    with start_worker(concurrency=1):
        runs = [queues.default.add("hoard", {"megabytes": megabytes}) for megabytes in (1, 250, 1)]
        observer.wait_until_settled(*runs)

    first, second, third = Run.objects.order_by("pk").values_list("result", flat=True)
    assert first == second != third
    assert set(Run.objects.values_list("state", "attempt")) == {("completed", 1)}


@pytest.mark.slow
def test_a_limit_below_what_a_child_takes_from_the_start_is_told(
    start_worker: StartWorker, observer: Recorder, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.05, "recycle_after_megabytes": 1}}
    with start_worker(concurrency=1):
        observer.wait_until_settled(queues.default.add("tell_pid"))

    assert "recycle_after_megabytes is 1: each ends after one run" in caplog.text


# After a crash.


def test_after_a_crash_any_job_runs_in_a_child(start_worker: StartWorker, observer: Recorder) -> None:
    """Many runs crash with a worker, innocent ones too: they share children, one after the other."""
    suspects = [queues.default.add("count_crashes", delay_seconds=3600) for _ in range(3)]
    Run.objects.update(crashes=1, run_at=suspects[0].created_at)

    with start_worker(concurrency=1):
        observer.wait_until_settled(*suspects)

    [pid] = set(Run.objects.values_list("result", flat=True))
    assert pid != os.getpid()
    assert set(Run.objects.values_list("state", flat=True)) == {"completed"}


@pytest.mark.slow
def test_a_child_starts_before_the_run_of_a_vanished_worker_is_free(
    start_worker: StartWorker, observer: Recorder, engine: Engine, settings: Any
) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.05, "lease_seconds": 3600}}
    run = queues.default.add("count_crashes")
    engine.claim("default", "default", worker="gone:1:a", limit=1, lease_seconds=1700)  # it has missed a heartbeat
    with start_worker():
        wait_until(descendants)
        [child] = descendants()
        assert Run.objects.get(pk=run.pk).attempt == 1
        Run.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        observer.wait_until_settled(run)

    assert ended(run) == ("completed", "completed")
    assert (run.attempt, run.result) == (2, child.pid)
    wait_until(lambda: not child.is_running())


@pytest.mark.slow
@pytest.mark.parametrize(("lost", "few"), [(2, 4), (5, 1)], ids=["few may all come", "many are shared"])
def test_as_many_children_start_as_runs_are_likely_to_come(
    lost: int, few: int, start_worker: StartWorker, engine: Engine, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a vanished worker are shared by all that live, and a worker has no more children than slots."""
    monkeypatch.setattr(heartbeat, "FEW", few)
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.05, "lease_seconds": 3600}}
    for _ in range(lost):
        queues.default.add("count_crashes")
    Worker.objects.create(
        name="alive:1:a",
        namespace="default",
        queues=["default"],
        concurrency=9,
        running=0,
        started_at=timezone.now(),
        heartbeat_at=timezone.now(),
    )
    engine.claim("default", "default", worker="gone:1:a", limit=lost, lease_seconds=1700)
    with start_worker(concurrency=4):
        wait_until(lambda: len(descendants()) >= 2)
        wait_until(Worker.objects.exclude(name="alive:1:a").exists)  # its first heartbeat is complete
        assert len(descendants()) == 2


def test_children_that_have_had_nothing_to_do_for_long_end(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    class Told(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self.pid)

    monkeypatch.setattr("django_jobqueue.worker.executors.child_process.subprocess.Popen", Told)
    monkeypatch.setattr(processes, "IDLE_SECONDS", 0.5)
    executor = processes.ProcessExecutor(lambda _: None, lambda _: None, lambda _: None)

    executor.prepare(2)
    wait_until(lambda: len(started) == 2)
    wait_until(lambda: not descendants())

    executor.prepare(1)
    wait_until(lambda: len(started) == 3)
    executor.close(PATIENCE_SECONDS)
    assert not descendants()


def have_peak(observer: Recorder, effects: Effects) -> set[int]:
    """Let there be two children, which are idle now; answer with their ids."""
    peak = [queues.default.add("linger") for _ in range(2)]
    effects.wait_for("start", 2)
    pids = {child.pid for child in descendants()}
    effects.open_gate()
    observer.wait_until_settled(*peak)
    return pids


def told_pids(observer: Recorder, number: int) -> set[Any]:
    """The ids of the children that take so many runs, one after the other."""
    runs: list[Run] = []
    for _ in range(number):
        runs.append(queues.default.add("tell_pid"))
        observer.wait_until_settled(runs[-1])
    return set(Run.objects.filter(pk__in=[run.pk for run in runs]).values_list("result", flat=True))


def test_after_a_peak_light_traffic_leaves_all_children_idle_but_one(
    start_worker: StartWorker, observer: Recorder, effects: Effects
) -> None:
    with start_worker(concurrency=2):
        have_peak(observer, effects)
        pids = told_pids(observer, 3)

    assert len(pids) == 1


def test_no_run_waits_for_a_child_in_place_of_one_that_is_worn_while_another_is_idle(
    start_worker: StartWorker, observer: Recorder, effects: Effects, settings: Any
) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.05, "recycle_after_runs": 2}}
    with start_worker(concurrency=2):
        at_peak = have_peak(observer, effects)
        pids = told_pids(observer, 2)

    assert pids == at_peak


def test_no_run_waits_for_a_child_that_starts_ahead_while_another_is_idle(
    start_worker: StartWorker, observer: Recorder
) -> None:
    with start_worker(concurrency=2) as worker:
        [first] = told_pids(observer, 1)
        worker.worker._executors.prepare(2)
        [second] = told_pids(observer, 1)

    assert first == second


def test_a_child_to_which_an_attempt_is_on_its_way_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "IDLE_SECONDS", 0.01)
    executor = processes.ProcessExecutor(lambda _: None, lambda _: None, lambda _: None)

    with executor._lock:
        executor._add_thread()  # as for an attempt that is about to be put into the queue
    wait_until(descendants)
    [child] = descendants()
    with pytest.raises(psutil.TimeoutExpired):
        child.wait(0.1)

    executor.close(PATIENCE_SECONDS)
    assert not child.is_running()


def test_as_long_as_all_workers_of_its_queues_live_no_child_starts_ahead(
    start_worker: StartWorker, engine: Engine, settings: Any
) -> None:
    settings.JOBQUEUE = {
        "worker": {"poll_seconds": 0.05, "lease_seconds": 3600},
        "queues": {"default": {}, "elsewhere": {"jobs": {"count_crashes": "tests.shop.jobs.count_crashes"}}},
    }
    queues.default.add("count_crashes")
    queues.elsewhere.add("count_crashes")
    engine.claim("default", "default", worker="alive:1:a", limit=1, lease_seconds=1900)
    engine.claim("default", "elsewhere", worker="gone:1:a", limit=1, lease_seconds=600)
    with start_worker() as worker:
        wait_until(Worker.objects.exists)  # its first heartbeat is complete
        worker.chores.wait_for_turns(1)
        assert not descendants()


@pytest.mark.slow
def test_a_job_that_no_child_knows_runs_in_its_worker_or_if_it_needs_a_child_is_left_to_others(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    @job
    def known_here() -> int:
        return os.getpid()

    @job(executor="process")
    def needs_child() -> None:
        raise AssertionError("not here")

    here, left = queues.default.add("known_here"), queues.default.add("needs_child")
    Run.objects.filter(pk=here.pk).update(crashes=1)

    work(concurrency=1)

    assert ended(here) == ("completed", "completed")
    assert here.result == os.getpid()
    assert "default.known_here is not known in a child process, and runs here" in caplog.text
    left.refresh_from_db()
    assert (left.state, left.releases, left.attempts.count()) == ("pending", 1, 0)
    assert "default.needs_child is not known in a child process, and left to others" in caplog.text


def test_a_run_whose_child_cannot_start_is_put_off(
    work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "settings_that_are_not_there")
    monkeypatch.setattr(processes, "NOT_STARTED_DELAY_SECONDS", 3600)
    run = queues.default.add("tell_pid")

    work()

    run.refresh_from_db()
    assert (run.state, run.releases, run.crashes, run.attempts.count()) == ("pending", 1, 0, 0)
    assert "exited with code 1 before it was ready" in caplog.text


# What makes no sense.


@pytest.mark.parametrize("executor", ["thread", "asyncio"])
def test_an_executor_that_cannot_run_the_function_is_a_problem_of_the_job(executor: str) -> None:
    def plain() -> None: ...

    async def coroutine() -> None: ...

    job(name="wrong", executor=executor)(coroutine if executor == "thread" else plain)

    assert [problem for problem in registry.problems() if f"executor '{executor}' runs" in problem]


@pytest.mark.parametrize("failures", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_child_for_which_the_system_has_no_process_is_started_later(
    start_worker: StartWorker,
    observer: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failures: int,
) -> None:
    """Each thread starts its child before an attempt comes, and tries again where that has failed."""
    errors = [OSError(11, "Resource temporarily unavailable")] * failures

    class Scarce(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            if errors:
                raise errors.pop()
            super().__init__(*arguments, **options)

    monkeypatch.setattr("django_jobqueue.worker.executors.child_process.subprocess.Popen", Scarce)
    run = queues.default.add("tell_pid")
    with start_worker(concurrency=1):
        wait_until(
            lambda: (
                Run.objects.filter(pk=run.pk, releases=failures - 1, attempt__gt=0).exclude(state="running").exists()
            )
        )
        Run.objects.update(run_at=run.created_at)
        observer.wait_until_settled(run)

    assert ended(run) == ("completed", "completed")
    assert run.releases == failures - 1
    assert ("is put off: No child process could be started" in caplog.text) == (failures == 2)
