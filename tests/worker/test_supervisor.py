"""The supervisor by itself, with the smallest of programs."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeAlias

import psutil
import pytest

from django_jobqueue.management.commands.runjobs import TETHERED
from django_jobqueue.worker import supervisor as rules
from django_jobqueue.worker.supervisor import Program, Supervisor
from tests.acceptance.programs import wait_until
from tests.worker.bench import PATIENCE_SECONDS

pytestmark = pytest.mark.sqlite  # no database is asked

Supervise: TypeAlias = Callable[..., "SupervisorThread"]

BEGIN = "import os, signal, sys, time; log = open({log!r}, 'a'); print('start', os.getpid(), file=log, flush=True); "
LISTEN = "[print('told', file=log, flush=True) for _ in iter(lambda: os.read(0, 1), b'')]"
"""Note each byte until the pipe ends."""
OBEY = "os.read(0, 1)"
"""End at the first byte."""
OBEY_TWICE = "os.read(0, 1); print('told', file=log, flush=True); os.read(0, 1); sys.exit(3)"
HANG = "time.sleep(3600)"
DEFY = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', file=log, flush=True); " + HANG


class Script:
    """A program of a line or two, and its log."""

    def __init__(self, folder: Path, name: str, code: str, **options: Any) -> None:
        self._log = folder / name.replace(" ", "_")
        source = BEGIN.format(log=str(self._log)) + code
        self.program = Program(name=name, arguments=[sys.executable, "-I", "-S", "-c", source], **options)

    def log(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def pids(self) -> list[int]:
        """Those of the processes that ran it, in their order."""
        return [int(line.split()[1]) for line in self.log() if line.startswith("start ")]

    def wait_for_start(self, count: int = 1) -> int:
        """Wait until it was started so often; return the process."""
        wait_until(lambda: len(self.pids()) >= count, f"{count} starts")
        return self.pids()[count - 1]


class SupervisorThread:
    """A supervisor that runs in a thread; it and its programs end with the block."""

    def __init__(self, *scripts: Script, grace_seconds: float = 3600) -> None:
        self._scripts = scripts
        self.supervisor = Supervisor([script.program for script in scripts], grace_seconds=grace_seconds)
        self.exit_code: int | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self.supervisor.stop()
            for pid in [pid for script in self._scripts for pid in script.pids()]:
                with suppress(psutil.Error):
                    psutil.Process(pid).kill()
        self._thread.join(PATIENCE_SECONDS)

    def stop(self) -> None:
        self.supervisor.stop()

    def wait(self) -> int:
        """Return the exit code, when it has ended by itself."""
        self._thread.join(PATIENCE_SECONDS)
        if self._error is not None:
            raise self._error
        assert self.exit_code is not None, "it did not end"
        return self.exit_code

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.exit_code = self.supervisor.run()
        except Exception as error:
            self._error = error


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No signal tells us here that a program has ended; so look often."""
    monkeypatch.setattr(rules, "TURN_SECONDS", 0.01)


@pytest.fixture
def supervise() -> Iterator[Supervise]:
    with ExitStack() as threads:
        yield lambda *scripts, **options: threads.enter_context(SupervisorThread(*scripts, **options))


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Script]:
    def script(code: str, name: str = "Worker 1", **options: Any) -> Script:
        return Script(tmp_path, name, code, **options)

    return script


def delays(caplog: pytest.LogCaptureFixture) -> list[float]:
    """The seconds that were announced before each start."""
    return [float(seconds) for seconds in re.findall(r"it is started again in (\S+) s\.", caplog.text)]


# --- Starting again ------------------------------------------------------------------------------------------------


def test_each_program_is_started_once_in_a_session_of_its_own(
    supervise: Supervise, script: Callable[..., Script]
) -> None:
    first, second = script(OBEY, "Worker 1"), script(OBEY, "Worker 2")
    supervisor = supervise(first, second)
    processes = [psutil.Process(each.wait_for_start()) for each in (first, second)]

    parents = {process.ppid() for process in processes}
    supervisor.stop()

    assert supervisor.wait() == 0
    assert parents == {psutil.Process().pid}
    assert (len(first.pids()), len(second.pids())) == (1, 1)
    assert not any(process.is_running() for process in processes)


def test_a_program_that_fails_is_started_again_after_growing_delays(
    supervise: Supervise,
    script: Callable[..., Script],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(rules, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(rules, "LONGEST_DELAY_SECONDS", 0.05)
    failing = script("sys.exit(1)")
    supervisor = supervise(failing)

    failing.wait_for_start(6)
    supervisor.stop()

    assert supervisor.wait() == 0
    assert delays(caplog)[:5] == [0.01, 0.02, 0.04, 0.05, 0.05]
    assert "Worker 1 ended with exit code 1; it is started again in 0.01 s." in caplog.text


def test_a_program_that_ended_without_a_word_is_started_again_too(
    supervise: Supervise,
    script: Callable[..., Script],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(rules, "FIRST_DELAY_SECONDS", 0.01)
    ending = script("sys.exit(0)")
    supervise(ending)

    ending.wait_for_start(2)

    assert "Worker 1 ended with exit code 0; it is started again in 0.01 s." in caplog.text


def test_it_is_told_which_signal_killed_a_program(
    supervise: Supervise,
    script: Callable[..., Script],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(rules, "FIRST_DELAY_SECONDS", 0.01)
    victim = script(OBEY)
    supervise(victim)

    psutil.Process(victim.wait_for_start()).kill()
    victim.wait_for_start(2)

    assert "Worker 1 was killed by signal 9; it is started again in 0.01 s." in caplog.text


def test_the_others_work_on_while_one_program_waits_for_its_start(
    supervise: Supervise,
    script: Callable[..., Script],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(rules, "FIRST_DELAY_SECONDS", 3600)
    failing, working = script("sys.exit(1)", "Worker 1"), script(OBEY, "Worker 2")
    supervisor = supervise(failing, working)
    process = psutil.Process(working.wait_for_start())
    wait_until(lambda: "it is started again" in caplog.text, "the failure is told")

    worked_on = process.is_running()
    supervisor.stop()

    assert supervisor.wait() == 0
    assert worked_on
    assert (len(failing.pids()), len(working.pids())) == (1, 1)


def test_a_program_that_ran_for_long_starts_with_a_clean_slate(
    supervise: Supervise,
    script: Callable[..., Script],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(rules, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(rules, "HEALTHY_SECONDS", 0.0)
    failing = script("sys.exit(1)")
    supervise(failing)

    failing.wait_for_start(4)

    assert set(delays(caplog)) == {0.01}


def test_a_program_that_wants_to_be_started_anew_is_started_at_once(
    supervise: Supervise,
    script: Callable[..., Script],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(rules, "FIRST_DELAY_SECONDS", 3600)
    recycling = script("sys.exit(75)")
    supervise(recycling)

    recycling.wait_for_start(3)

    assert caplog.text == ""


def test_a_program_that_cannot_be_started_just_now_is_tried_again(
    supervise: Supervise, script: Callable[..., Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No memory, no process, no descriptor left: a bad moment for one program must not cost the others their work."""
    monkeypatch.setattr(rules, "FIRST_DELAY_SECONDS", 0.01)
    popen, calls = subprocess.Popen, iter(range(3))

    def popen_later(*args: Any, **options: Any) -> Any:
        if next(calls, 3) == 1:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return popen(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", popen_later)
    working, late = script(OBEY, "Worker 1"), script(OBEY, "Worker 2")
    supervisor = supervise(working, late)

    wait_until(lambda: late.pids() or not supervisor.is_running(), "the other program is started")
    supervisor.stop()

    assert supervisor.wait() == 0
    assert len(working.pids()) == 1


# --- Programs that end ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codes", "exit_code"), [((0, 0), 0), ((0, 1), 1), ((3, 1), 3)])
def test_when_all_programs_are_done_it_ends_with_the_highest_of_their_codes(
    supervise: Supervise, script: Callable[..., Script], codes: tuple[int, int], exit_code: int
) -> None:
    scripts = [script(f"sys.exit({code})", f"Worker {number}", ends=True) for number, code in enumerate(codes)]

    supervisor = supervise(*scripts)

    assert supervisor.wait() == exit_code
    assert [len(each.pids()) for each in scripts] == [1, 1]


def test_a_program_that_was_killed_is_not_done(
    supervise: Supervise, script: Callable[..., Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "FIRST_DELAY_SECONDS", 0.01)
    victim = script(OBEY, ends=True)
    supervisor = supervise(victim)

    psutil.Process(victim.wait_for_start()).kill()
    victim.wait_for_start(2)
    supervisor.stop()

    assert supervisor.wait() == 0


# --- Stopping ------------------------------------------------------------------------------------------------------


def test_each_request_to_stop_is_one_byte_for_each_program(supervise: Supervise, script: Callable[..., Script]) -> None:
    scripts = [script(OBEY_TWICE, "Worker 1"), script(OBEY_TWICE, "Worker 2")]
    supervisor = supervise(*scripts)
    for each in scripts:
        each.wait_for_start()

    supervisor.stop()
    for each in scripts:
        wait_until(lambda each=each: each.log().count("told") == 1, "the first byte")  # type: ignore[misc]
    still_running = supervisor.is_running()
    supervisor.stop()

    assert still_running
    assert supervisor.wait() == 3


def test_two_requests_at_once_are_two_bytes(supervise: Supervise, script: Callable[..., Script]) -> None:
    obedient = script(OBEY_TWICE)
    supervisor = supervise(obedient)
    obedient.wait_for_start()

    supervisor.stop()
    supervisor.stop()

    assert supervisor.wait() == 3


def test_a_request_that_comes_before_the_first_start_is_obeyed(script: Callable[..., Script]) -> None:
    with SupervisorThread(script(OBEY, "Worker 1"), script(OBEY, "Worker 2")) as supervisor:
        supervisor.stop()

        assert supervisor.wait() == 0


def test_a_program_that_does_not_listen_is_tethered_and_so_terminated(
    supervise: Supervise, script: Callable[..., Script]
) -> None:
    deaf = script(
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('ready', file=log, flush=True); " + HANG,
    )
    deaf.program = replace(deaf.program, arguments=[*TETHERED, *deaf.program.arguments])
    supervisor = supervise(deaf)
    wait_until(lambda: "ready" in deaf.log(), "it can be terminated")

    supervisor.stop()

    assert supervisor.wait() == 0


@pytest.mark.parametrize("tether", [[], TETHERED], ids=["by itself", "tethered"])
def test_a_program_that_hangs_is_killed_after_its_grace(
    supervise: Supervise,
    script: Callable[..., Script],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tether: list[str],
) -> None:
    clock_jumps = threading.Event()
    monkeypatch.setattr(rules, "monotonic", lambda: monotonic() + 7200.0 * clock_jumps.is_set())
    hanging, obedient = script(DEFY, "Worker 1"), script(OBEY, "Worker 2")
    hanging.program = replace(hanging.program, arguments=[*tether, *hanging.program.arguments])
    supervisor = supervise(hanging, obedient, grace_seconds=3600)
    process = psutil.Process(hanging.wait_for_start())
    wait_until(lambda: "ready" in hanging.log(), "it cannot be terminated any more")
    obeying = psutil.Process(obedient.wait_for_start())

    supervisor.stop()
    wait_until(lambda: not obeying.is_running(), "the other one ends")
    assert process.is_running()
    clock_jumps.set()

    assert supervisor.wait() == 3
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, "it ends")
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "Worker 1 did not stop in time, and is killed."
    ]


def test_a_program_that_waits_for_its_start_is_not_started_once_we_stop(
    supervise: Supervise,
    script: Callable[..., Script],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(rules, "FIRST_DELAY_SECONDS", 3600)
    monkeypatch.setattr(rules, "LONGEST_DELAY_SECONDS", 3600)
    failing = script("sys.exit(1)")
    supervisor = supervise(failing)
    wait_until(lambda: "it is started again in 3600 s." in caplog.text, "the failure is told")

    supervisor.stop()

    assert supervisor.wait() == 0
    assert len(failing.pids()) == 1


@pytest.mark.parametrize("code", [0, 75])
def test_nothing_is_started_again_once_we_stop(supervise: Supervise, script: Callable[..., Script], code: int) -> None:
    ending = script(f"os.read(0, 1); sys.exit({code})")
    supervisor = supervise(ending)
    ending.wait_for_start()

    supervisor.stop()

    assert supervisor.wait() == 0
    assert len(ending.pids()) == 1


def test_no_program_outlives_a_supervisor_that_breaks(
    script: Callable[..., Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = script(HANG)
    supervisor = Supervisor([hanging.program], grace_seconds=3600)

    def fall() -> float:
        hanging.wait_for_start()
        raise KeyError("broken")

    monkeypatch.setattr(supervisor, "_pause", fall)

    with pytest.raises(KeyError):
        supervisor.run()

    assert not psutil.pid_exists(hanging.wait_for_start())


def test_a_program_learns_from_the_end_of_its_pipe_that_it_is_alone(script: Callable[..., Script]) -> None:
    listening = script(LISTEN + "; print('alone', file=log, flush=True)")
    child = rules.Child(listening.program)
    child.start()
    process = child.process
    assert process is not None
    listening.wait_for_start()

    child.stop()
    wait_until(lambda: "told" in listening.log(), "the byte")
    child.forget()

    assert process.wait(PATIENCE_SECONDS) == 0
    assert listening.log()[-2:] == ["told", "alone"]


def test_the_liveness_files_of_workers_that_a_killed_supervisor_had_are_forgotten(tmp_path: Path) -> None:
    """It had more of them: nobody would touch that of the last one any more, and a probe take it for dead."""
    told, others = tmp_path / "alive", [tmp_path / "alive.json", tmp_path / "alive-1.1"]
    stale = [tmp_path / "alive.1", tmp_path / "alive.12"]
    for file in (*others, *stale):
        file.touch()

    Supervisor([], grace_seconds=0, liveness_file=told).run()

    assert not [file for file in stale if file.exists()]
    assert all(file.exists() for file in others)
