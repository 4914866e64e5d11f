"""A trial: runs are added, workers work them, faults befall both, and in the end the checker looks at what is left."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from django.contrib.auth.models import Group
from django.db import connection

from django_jobqueue.models import Attempt, Run
from django_jobqueue.models.run import RunQuerySet
from tests.acceptance.programs import (
    PATIENCE_SECONDS,
    Effect,
    Effects,
    WorkerProcess,
    end_leases,
    other_sessions,
    wait_until,
)
from tests.acceptance.supervised import SupervisorProcess
from tests.chaos.checker import Evidence, violations
from tests.chaos.ledger import Ledger
from tests.chaos.settings import LEASE_SECONDS

RUNS = int(os.environ.get("JOBQUEUE_CHAOS_RUNS", "30"))
SEEDS = range(int(os.environ.get("JOBQUEUE_CHAOS_SEEDS", "1")))
REPORT = os.environ.get("JOBQUEUE_CHAOS_REPORT")
"""The file that ``make chaos`` collects results in."""

FORGIVABLE_SECONDS = 2.0 if REPORT else 25.0
"""How much later than its lease the run of a killed worker may start again, and how soon that of a killed child is given
back. In the suite the machine may stall; who waited for something else, such as for what follows a second crash, would wait
for half a minute."""

LOST = re.compile(r"(Lease lost[^:]*): run (\d+) .* attempt (\d+)")
DROPPED = "Lease lost, result dropped"


@dataclass
class Trial:
    """What one fault, with one seed, did to some runs."""

    name: str
    what: str
    """The fault in a few words."""
    folder: Path
    seed: int
    environment: Mapping[str, str]
    """What workers are to know, beside what the test itself does."""
    faults: int = 0
    ledger: Ledger = field(init=False)
    effects: Effects = field(init=False)
    lease_seconds: float = LEASE_SECONDS
    clock_is_right: bool = True
    """Whether the clock of the database is."""
    shifts: dict[int, int] = field(default_factory=dict)
    """By how many seconds the clock of a process was ahead."""
    _written: bool = False
    _workers: list[WorkerProcess] = field(default_factory=list)
    _kills: dict[int, float] = field(default_factory=dict)
    _exits: list[tuple[str, int, int]] = field(default_factory=list)
    _programs: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.seed)
        self.effects = Effects(self.folder)

    def __enter__(self) -> Self:
        self._programs.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._programs.__exit__(kind, error, traceback)
        if not self._written:
            self._write(
                lost=0, twice=0, dropped=0, comebacks=[], releases=[], violations=["the trial has not come to its end"]
            )

    def start(
        self,
        *arguments: str,
        settings: str = "tests.chaos.settings",
        environment: Mapping[str, str] | None = None,
    ) -> WorkerProcess:
        """Start a worker, and return when it works."""
        worker = WorkerProcess(
            ["chaos", "--log-format=json", *arguments],
            self.folder,
            environment={**self._environment(settings), **(environment or {})},
        )
        self._workers.append(self._programs.enter_context(worker))
        return worker.wait_until_ready()

    def start_two(self) -> tuple[WorkerProcess, WorkerProcess]:
        return self.start(), self.start()

    def start_supervised(self, *arguments: str) -> SupervisorProcess:
        """Start two workers with a supervisor, and return when both work."""
        supervisor = SupervisorProcess(
            ["chaos", "--log-format=json", "--processes=2", *arguments],
            self.folder,
            environment=self._environment("tests.chaos.settings"),
        )
        self._workers.append(self._programs.enter_context(supervisor))
        supervisor.wait_until_working(2)
        return supervisor

    def _environment(self, settings: str) -> dict[str, str]:
        lease = {"JOBQUEUE_CHAOS_LEASE": str(self.lease_seconds)}
        return {**self.environment, **lease, "DJANGO_SETTINGS_MODULE": settings}

    def some(self, least: float = 0.1, most: float = 0.5) -> int:
        """So many starts to wait for before a fault, as the seed will have it."""
        return int(RUNS * self.ledger.random.uniform(least, most)) + 1

    def wait_for_start(self, run_id: int, attempt: int = 1) -> Effect:
        """Wait until this attempt has started."""

        def found() -> list[Effect]:
            return [effect for effect in self.effects.all("start") if effect[:2] == (run_id, attempt)]

        wait_until(found, f"attempt {attempt} of run {run_id} starts")
        return found()[0]

    def wait_at_work(self, happened: Callable[[], object], what: str) -> None:
        """Wait until *happened* is true; until then there are always runs to be worked, however late somebody is."""

        def look() -> object:
            if self.runs().live().count() < RUNS // 5:
                self.ledger.add_work(RUNS // 5, longest=1.0)
            return happened()

        wait_until(look, what)

    def wait_until_busy(self, worker: WorkerProcess) -> None:
        """Wait until jobs run in *worker*, which cannot end at once."""
        self.wait_at_work(lambda: self._running(worker) >= 2, "it is busy")

    def kill_at_work(self, worker: WorkerProcess) -> None:
        """End *worker* while a job runs in it."""
        while True:
            self.wait_until_busy(worker)
            worker.send(signal.SIGSTOP)  # what runs now runs until it is killed
            if self._running(worker):
                break
            worker.send(signal.SIGCONT)
        self.kill(worker)

    def kill(self, worker: WorkerProcess) -> None:
        """End *worker* in the middle of it all."""
        worker.send(signal.SIGKILL)
        worker.wait()
        self.note_kill(worker.pid)  # before others may start what it had claimed
        self.bury(worker.pid)

    def bury(self, pid: int) -> None:
        """Wait until this worker is dead. In the suite, nobody waits for the end of its leases."""
        next(worker for worker in self._workers if worker.pid == pid).wait()
        if REPORT is None:
            end_leases(pid)

    def open_gate(self, attempt: int) -> None:
        """Let this attempt of ``hold`` end."""
        (self.folder / f"gate {attempt}").touch()

    def note_kill(self, pid: int, at: float | None = None) -> None:
        """Take down that this process was killed, *at* that time or just now."""
        self.faults += 1
        self._kills[pid] = at or time.time()

    def finish(self) -> list[str]:
        """Wait until all is done, end the workers, and return what the checker has to say."""
        connection.close()  # it may have been cut off
        self.ledger.clear_up()
        wait_until(self._all_ended, "every run that was added ends", seconds=5 * PATIENCE_SECONDS)
        wait_until(lambda: Run.objects.filter(schedule__isnull=False).exists(), "the schedule fires")
        for worker in self._workers:
            if worker.process.poll() is None:
                self.expect_exit(worker, worker.stop(), 0)
        evidence = self._evidence()
        found = violations(evidence)
        self._report(evidence, found)
        return found

    def runs(self) -> RunQuerySet:
        """Those that were added, without those that the schedule has made."""
        return Run.objects.filter(pk__in=self.ledger.acknowledged)

    def lines(self) -> list[str]:
        """What the workers have printed."""
        return [line for worker in self._workers for line in worker.lines]

    def expect_exit(self, worker: WorkerProcess, code: int, expected: int) -> None:
        self._exits.append((str(worker.pid), code, expected))

    def _running(self, worker: WorkerProcess) -> int:
        """How many jobs run in *worker*, by what they have written."""
        words = [effect.word for effect in self.effects.all() if effect.pid == worker.pid]
        return words.count("start") - words.count("end")

    def _all_ended(self) -> bool:
        return not self.runs().live().exists()

    def _evidence(self) -> Evidence:
        lines = self.lines()
        told = [(match[1], (int(match[2]), int(match[3]))) for line in lines if (match := LOST.search(line))]
        return Evidence(
            acknowledged=self.ledger.acknowledged,
            runs={run.id: run for run in Run.objects.all()},
            attempts=list(Attempt.objects.all()),
            effects=[self._by_our_clock(effect) for effect in self.effects.all()],
            events=list(_events(lines)),
            lost={attempt for _, attempt in told},
            dropped={attempt for what, attempt in told if what == DROPPED},
            written=list(_entries()),
            kills=self._kills,
            lease_seconds=0 if REPORT is None else self.lease_seconds,  # see bury()
            forgivable_seconds=FORGIVABLE_SECONDS,
            clock_is_right=self.clock_is_right,
            exits=self._exits,
            orphans=[*self._processes(), *_sessions()],
        )

    def _by_our_clock(self, effect: Effect) -> Effect:
        return effect._replace(at=effect.at - self.shifts.get(effect.pid, 0))

    def _processes(self) -> list[str]:
        """Those of the workers that are left, and those of their children, which may take a moment to see that they are alone."""
        family = SupervisorProcess([], self.folder).family
        with suppress(AssertionError):
            wait_until(lambda: not family(), "no process is left")
        return [f"process {process}" for process in family()]

    def _report(self, evidence: Evidence, found: list[str]) -> None:
        self._write(
            lost=sum(what.startswith("C1:") for what in found),
            twice=sum(what.startswith(("C3:", "C4:")) for what in found),
            dropped=len(evidence.dropped),
            comebacks=[seconds for _, seconds in evidence.comebacks()],
            releases=[seconds for _, seconds in evidence.releases()],
            violations=found,
        )

    def _write(self, **came_of_it: object) -> None:
        """Hand the results to ``make chaos``."""
        self._written = True
        if REPORT is None:
            return
        facts = {
            "fault": self.name,
            "what": self.what,
            "database": connection.vendor,
            "seed": self.seed,
            "lease": self.lease_seconds,
            "runs": len(self.ledger.acknowledged),
            "faults": self.faults,
        }
        with Path(REPORT).open("a") as report:
            report.write(json.dumps(facts | came_of_it) + "\n")


def _entries() -> Iterator[tuple[int, int]]:
    """The run and the attempt in each name that job ``enter`` has written."""
    for name in Group.objects.values_list("name", flat=True):
        run_id, attempt = name.split()
        yield int(run_id), int(attempt)


def _sessions() -> list[str]:
    """The sessions in the database that are left, beside ours; a server may take a moment to see that a worker is gone."""
    if connection.vendor != "postgresql":
        return []
    wait_until(lambda: not other_sessions(), "no session is left")
    return []


def _events(lines: list[str]) -> Iterator[dict[str, Any]]:
    """What workers told of attempts that have ended."""
    for line in lines:
        if line.startswith("{") and (event := json.loads(line))["event"] == "attempt_ended":
            yield event
