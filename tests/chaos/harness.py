"""A trial: runs are added, workers work them, faults befall both, and in the end the checker looks at what is left."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from django_jobqueue.models import Attempt, Run
from tests.acceptance.programs import Effects, WorkerProcess, wait_until
from tests.acceptance.supervised import SupervisorProcess
from tests.chaos.checker import Evidence, violations
from tests.chaos.ledger import Ledger
from tests.chaos.settings import LEASE_SECONDS

RUNS = int(os.environ.get("JOBQUEUE_CHAOS_RUNS", "50"))
SEEDS = range(int(os.environ.get("JOBQUEUE_CHAOS_SEEDS", "1")))
REPORT = os.environ.get("JOBQUEUE_CHAOS_REPORT")
"""The file that ``make chaos`` collects results in."""

FORGIVABLE_SECONDS = 2.0 if REPORT else 20.0
"""How much later than its lease the run of a killed worker may start again: in the suite, a busy machine is no failure."""

LOST = re.compile(r"(Lease lost[^:]*): run (\d+) .* attempt (\d+)")
DROPPED = "Lease lost, result dropped"


@dataclass
class Trial:
    """What one fault, with one seed, did to some runs."""

    name: str
    folder: Path
    seed: int
    environment: Mapping[str, str]
    """What workers are to know, beside what the test itself does."""
    faults: int = 0
    ledger: Ledger = field(init=False)
    effects: Effects = field(init=False)
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

    def start(self, *arguments: str, settings: str = "tests.chaos.settings") -> WorkerProcess:
        """Start a worker, or with ``--processes`` several with a supervisor."""
        kind = SupervisorProcess if any(argument.startswith("--processes") for argument in arguments) else WorkerProcess
        worker = kind(
            ["chaos", "--log-format=json", *arguments],
            self.folder,
            environment={**self.environment, "DJANGO_SETTINGS_MODULE": settings},
        )
        self._workers.append(self._programs.enter_context(worker))
        return worker

    def start_two(self) -> tuple[WorkerProcess, WorkerProcess]:
        """Start two workers, and return when both work."""
        first, second = self.start(), self.start()
        return first.wait_until_ready(), second.wait_until_ready()

    def some(self, least: float = 0.1, most: float = 0.5) -> int:
        """So many starts to wait for before a fault, as the seed will have it."""
        return int(RUNS * self.ledger.random.uniform(least, most)) + 1

    def kill(self, worker: WorkerProcess) -> None:
        """End *worker* in the middle of it all."""
        worker.send(signal.SIGKILL)
        worker.wait()
        self.note_kill(worker.pid)

    def note_kill(self, pid: int) -> None:
        """Take down that this process was just killed."""
        self.faults += 1
        self._kills[pid] = time.time()

    def finish(self) -> list[str]:
        """Wait until all is done, end the workers, and return what the checker has to say."""
        self.ledger.clear_up()
        wait_until(self._all_ended, "every run that was added ends")
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.wait_for_line("worker_started")
                self.expect_exit(worker, worker.stop(), 0)
        evidence = self._evidence()
        found = violations(evidence)
        self._report(evidence, found)
        return found

    def expect_exit(self, worker: WorkerProcess, code: int, expected: int) -> None:
        self._exits.append((str(worker.pid), code, expected))

    def _all_ended(self) -> bool:
        return not Run.objects.live().filter(pk__in=self.ledger.acknowledged).exists()

    def _evidence(self) -> Evidence:
        lines = [line for worker in self._workers for line in worker.lines]
        told = [(match[1], (int(match[2]), int(match[3]))) for line in lines if (match := LOST.search(line))]
        return Evidence(
            acknowledged=self.ledger.acknowledged,
            runs={run.id: run for run in Run.objects.all()},
            attempts=list(Attempt.objects.all()),
            effects=self.effects.all(),
            events=list(_events(lines)),
            lost={attempt for _, attempt in told},
            dropped={attempt for what, attempt in told if what == DROPPED},
            kills=self._kills,
            lease_seconds=LEASE_SECONDS,
            forgivable_seconds=FORGIVABLE_SECONDS,
            exits=self._exits,
            orphans=self._orphans(),
        )

    def _orphans(self) -> list[str]:
        supervisors = [worker for worker in self._workers if isinstance(worker, SupervisorProcess)]
        return [str(process) for supervisor in supervisors[:1] for process in supervisor.family()]

    def _report(self, evidence: Evidence, found: list[str]) -> None:
        if REPORT is None:
            return
        seconds = [seconds for _, seconds in evidence.comebacks()]
        facts = {
            "fault": self.name,
            "seed": self.seed,
            "runs": len(evidence.acknowledged),
            "faults": self.faults,
            "lost": sum(what.startswith("C1:") for what in found),
            "twice": sum(what.startswith(("C3:", "C4:")) for what in found),
            "dropped": len(evidence.dropped),
            "comebacks": seconds,
            "violations": found,
        }
        with Path(REPORT).open("a") as report:
            report.write(json.dumps(facts) + "\n")


def _events(lines: list[str]) -> Iterator[dict[str, Any]]:
    """What workers told of attempts that have ended."""
    for line in lines:
        if line.startswith("{") and (event := json.loads(line))["event"] == "attempt_ended":
            yield event
