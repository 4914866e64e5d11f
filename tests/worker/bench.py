"""What the tests of the worker stand on: workers in threads, and an observer that can be waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Any, Self

from django.db import connections

from django_jobqueue.engines.base import LostRun, Settlement
from django_jobqueue.models import Run
from django_jobqueue.states import State
from django_jobqueue.worker.announcer import BackgroundAnnouncer
from django_jobqueue.worker.housekeeper import Housekeeper
from django_jobqueue.worker.maintenance import Maintenance
from django_jobqueue.worker.observer import Observer, Observers
from django_jobqueue.worker.runner import Ended
from django_jobqueue.worker.tally import Tally
from django_jobqueue.worker.worker import Worker

PATIENCE_SECONDS = 60.0
"""How long a test waits for what must come; a busy machine is no failure."""


def wait_until(happened: Callable[[], object]) -> None:
    """Ask the database again and again: what a worker stores tells nobody."""
    deadline = monotonic() + PATIENCE_SECONDS
    pause = threading.Event()
    while not happened():
        assert monotonic() < deadline, "it did not happen"
        pause.wait(0.01)


def join_threads() -> None:
    """Return when the threads of workers and of their jobs have ended; that of the publisher lingers for its next word."""
    for thread in threading.enumerate():
        if thread.name.startswith("jobqueue-") and thread.name != "jobqueue-publisher":
            thread.join(PATIENCE_SECONDS)


class Recorder(Observer):
    """Keeps what it is told, and wakes who waits for it."""

    def __init__(self) -> None:
        self.workers: list[str] = []
        self.stops: list[int] = []
        self.settled: list[tuple[Ended, State]] = []
        self.lost: list[tuple[LostRun, State]] = []
        self._told = threading.Condition()

    def started(self, name: str, queues: Mapping[str, int | None], concurrency: int) -> None:
        self._tell(self.workers, name)

    def stopping(self, running: int, grace_seconds: float) -> None:
        self._tell(self.stops, running)

    def ended(self, ended: Ended, state: State) -> None:
        self._tell(self.settled, (ended, state))

    def reaped(self, lost: LostRun, settlement: Settlement, state: State) -> None:
        self._tell(self.lost, (lost, state))

    def settled_ids(self) -> list[int]:
        return [ended.claim.id for ended, _ in self.settled]

    def wait_for(self, happened: Callable[[], object]) -> None:
        """Wait until *happened* is true, which is asked whenever something is told."""
        with self._told:
            assert self._told.wait_for(happened, PATIENCE_SECONDS), "it did not happen"

    def wait_until_settled(self, *runs: Run) -> None:
        self.wait_for(lambda: {run.id for run in runs} <= set(self.settled_ids()))

    def _tell(self, history: list[Any], event: object) -> None:
        with self._told:
            history.append(event)
            self._told.notify_all()


class Chores(Maintenance):
    """Maintenance that counts its glances, to be waited for."""

    def __init__(self, observer: Observer, tally: Tally, queues: Sequence[str], *, housekeeping: bool) -> None:
        super().__init__(observer, tally, queues)
        if not housekeeping:
            self._chores = [chore for chore in self._chores if not isinstance(chore, Housekeeper)]
        self.turns = 0
        self._turned = threading.Condition()

    def turn(self, *args: Any, **kwargs: Any) -> bool:
        was_due = monotonic() >= self._look_at
        answer = super().turn(*args, **kwargs)
        if was_due:
            with self._turned:
                self.turns += 1
                self._turned.notify_all()
        return answer

    def wait_for_turns(self, count: int) -> None:
        """Wait for so many turns from now on."""
        with self._turned:
            enough = self.turns + count
            assert self._turned.wait_for(lambda: self.turns >= enough, PATIENCE_SECONDS), "no turn came"


class WorkerThread:
    """A worker that works in a thread, until the end of the block at the latest."""

    def __init__(
        self, queues: Sequence[str], observer: Observer, *, housekeeping: bool = False, **options: Any
    ) -> None:
        """Without *housekeeping*, which takes longer than all else that a worker does when it begins."""
        tally = Tally()
        everybody = Observers(tally, BackgroundAnnouncer(), observer)  # who waits for it, waits for all
        self.chores = Chores(everybody, tally, queues, housekeeping=housekeeping)
        self.worker = Worker(queues, chores=self.chores, observer=everybody, **options)
        self.exit_code: int | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=f"test-worker-{self.worker.name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self.worker.stop()
        if error is None:
            self.wait()
            return
        self.worker.stop()
        with suppress(AssertionError):  # the error of the test is the one to tell
            self.wait()

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        self.worker.stop()
        return self.wait()

    def wait(self) -> int:
        """Return its exit code, once it has ended by itself."""
        self._thread.join(PATIENCE_SECONDS)
        if self._thread.is_alive():
            self.worker.stop()
            self.worker.stop()
            self._thread.join(PATIENCE_SECONDS)
            raise AssertionError("the worker did not end")
        if self._error is not None:
            raise self._error
        assert self.exit_code is not None
        return self.exit_code

    def _work(self) -> None:
        try:
            self.exit_code = self.worker.run()
        except BaseException as error:
            self._error = error
        finally:
            connections.close_all()


class Gauge:
    """Counts how many are inside at once, and how many there ever were."""

    def __init__(self) -> None:
        self.peak = 0
        self._inside = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        with self._lock:
            self._inside += 1
            self.peak = max(self.peak, self._inside)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1


class Gate:
    """Where a job waits until the test lets it pass."""

    def __init__(self) -> None:
        self._reached = threading.Semaphore(0)
        self._opened = threading.Event()

    def wait_to_pass(self) -> None:
        """For the job."""
        self._reached.release()
        assert self._opened.wait(PATIENCE_SECONDS), "nobody opened the gate"

    def wait_for_job(self) -> None:
        """For the test: return when a job has reached the gate."""
        assert self._reached.acquire(timeout=PATIENCE_SECONDS), "no job came to the gate"

    def open(self) -> None:
        self._opened.set()
