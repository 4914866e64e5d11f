"""Executors: how a worker runs several attempts at a time."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Protocol

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from django_jobqueue.engines.base import Claim
from django_jobqueue.worker import connections
from django_jobqueue.worker.runner import Assignment, Ended, OnStart, Refused, run_async_attempt, run_attempt

logger = logging.getLogger(__name__)

CANCEL_SECONDS = 1.0
"""For coroutines that are cancelled at the end of the process to clean up after themselves."""


OnEnded = Callable[[Ended | Refused], None]


class Executor(Protocol):
    """Runs what it is given at once, and tells when it has ended."""

    def start(self, assignment: Assignment) -> None:
        """Start an attempt, in another thread than the caller's."""

    def close(self, *, wait: bool) -> None:
        """Start nothing more. Wait for the threads to end, unless attempts still run: those end with the process."""


class Executors:
    """All executors of a worker, which share its slots: at most *slots* attempts run at once.

    A claim beyond that waits here for a slot. *on_start* and *on_ended* are called in the thread of the attempt.
    """

    def __init__(self, slots: int, on_start: OnStart, on_ended: OnEnded) -> None:
        self._slots = self._free = slots
        self._waiting: deque[Assignment] = deque()
        self._lock = threading.Lock()
        self._on_ended = on_ended
        self._threads = ThreadExecutor(on_start, self._ended)
        self._asyncio = AsyncioExecutor(on_start, self._ended)

    def submit(self, assignment: Assignment) -> None:
        """Start an attempt as soon as a slot is free."""
        with self._lock:
            if self._free == 0:
                self._waiting.append(assignment)
                return
            self._free -= 1
        self._start(assignment)

    def take_back(self) -> list[Claim]:
        """The claims that still wait for a slot; they will not be started."""
        with self._lock:
            claims = [assignment.claim for assignment in self._waiting]
            self._waiting.clear()
        return claims

    def close(self) -> None:
        """End the threads; those of attempts that still run end with the process."""
        with self._lock:
            idle = self._free == self._slots
        self._threads.close(wait=idle)
        self._asyncio.close(wait=idle)

    def _start(self, assignment: Assignment) -> None:
        executor: Executor = self._asyncio if assignment.job.is_async else self._threads
        executor.start(assignment)

    def _ended(self, ended: Ended | Refused) -> None:
        with self._lock:
            following = self._waiting.popleft() if self._waiting else None
            if following is None:
                self._free += 1
        if following is not None:
            self._start(following)
        self._on_ended(ended)


class ThreadExecutor:
    """Runs plain functions, each in one of as many threads as were ever busy at once."""

    def __init__(self, on_start: OnStart, on_ended: OnEnded) -> None:
        self._on_start = on_start
        self._on_ended = on_ended
        self._attempts: SimpleQueue[Assignment | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._lock = threading.Lock()

    def start(self, assignment: Assignment) -> None:
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                self._add_thread()
        self._attempts.put(assignment)

    def close(self, *, wait: bool) -> None:
        for _ in self._threads:
            self._attempts.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def _add_thread(self) -> None:
        # A daemon: a job that never returns must not keep the process from ending.
        thread = threading.Thread(target=self._work, name=f"jobqueue-{len(self._threads) + 1}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (assignment := self._attempts.get()) is not None:
            connections.before_attempt()
            ended = run_attempt(assignment, self._on_start)
            connections.after_attempt()
            with self._lock:
                self._idle += 1
            self._on_ended(ended)
        connections.close_all()


class AsyncioExecutor:
    """Runs coroutine functions on one event loop, in a thread of its own."""

    def __init__(self, on_start: OnStart, on_ended: OnEnded) -> None:
        self._on_start = on_start
        self._on_ended = on_ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()

    def start(self, assignment: Assignment) -> None:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_turn, args=[self._loop, self._closing], name="jobqueue-asyncio", daemon=True
                )
                self._thread.start()
        self._loop.call_soon_threadsafe(self._spawn, self._loop, assignment)

    def close(self, *, wait: bool) -> None:
        self._closing.set()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None and wait:
            self._thread.join()

    def _spawn(self, loop: asyncio.AbstractEventLoop, assignment: Assignment) -> None:
        task = loop.create_task(self._attempt(assignment))
        self._tasks.add(task)  # the loop itself does not keep its tasks alive
        task.add_done_callback(self._tasks.discard)

    async def _attempt(self, assignment: Assignment) -> None:
        async with ThreadSensitiveContext() as context:
            ended = await in_own_task(run_async_attempt(assignment, self._on_start))
            # What the job does synchronously, the ORM above all, happens in a thread of this attempt alone, made on
            # first use. It ends with the context, and so must its connections.
            if context in SyncToAsync.context_to_thread_executor:
                await sync_to_async(connections.close_all)()
        self._on_ended(ended)


def _turn(loop: asyncio.AbstractEventLoop, closing: threading.Event) -> None:
    """Run *loop* until it is stopped; what then still runs was handed back, and is cancelled."""
    while not closing.is_set():
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as error:  # from a task that a job has started: asyncio passes it on
            logger.warning("A task of a job raised %r; the event loop goes on.", error)
    if tasks := asyncio.all_tasks(loop):
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks, timeout=CANCEL_SECONDS))
    loop.close()


async def in_own_task(attempt: Coroutine[object, object, Ended | Refused]) -> Ended | Refused:
    """Await *attempt* in a task of its own: a job that cancels its task, or all tasks, must not cancel what follows."""
    ended: list[Ended | Refused] = []

    async def keep() -> None:
        ended.append(await attempt)

    task = asyncio.create_task(keep())
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
    return ended[0]
