"""Coroutine jobs: side by side on one event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine
from contextlib import ExitStack, suppress
from functools import partial

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from django_jobqueue.engines.base import Ref
from django_jobqueue.worker import connections
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.executors.executor import HandOver, OnEnded
from django_jobqueue.worker.executors.loop_watch import LoopWatch
from django_jobqueue.worker.runner import Ended, OnStart, Refused, run_async_attempt

logger = logging.getLogger(__name__)

CANCEL_SECONDS = 1.0
"""For coroutines that are cancelled at the end of the process to clean up after themselves."""


class AsyncioExecutor:
    """Runs coroutine functions on one event loop, in a thread of its own."""

    def __init__(self, on_start: OnStart, on_ended: OnEnded, hand_over: HandOver) -> None:
        self._on_start = on_start
        self._on_ended = on_ended
        self._hand_over = hand_over
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._jobs: dict[Ref, asyncio.Task[None] | None] = {}
        """The tasks in which the jobs run; None for one that has not begun."""
        self._lock = threading.Lock()
        self._watch: LoopWatch | None = None

    def start(self, assignment: Assignment) -> None:
        with self._lock:
            loop = self._loop or self._begin()
        loop.call_soon_threadsafe(self._spawn, loop, assignment)

    def interrupt(self, ref: Ref, why: str) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._cancel, self._loop, ref, why)

    def look(self) -> None:
        """Tell of a job that blocks the loop. To be called about every second, in another thread."""
        if self._watch is not None and not self._closing.is_set():
            self._watch.look()

    def close(self, seconds: float) -> None:
        self._closing.set()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join(seconds)

    def _begin(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        with ExitStack() as broken:
            broken.callback(loop.close)
            thread = threading.Thread(target=_turn, args=[loop, self._closing], name="jobqueue-asyncio", daemon=True)
            thread.start()
            broken.pop_all()
        self._loop, self._thread, self._watch = loop, thread, LoopWatch(loop, thread, self._jobs)
        return loop

    def _spawn(self, loop: asyncio.AbstractEventLoop, assignment: Assignment) -> None:
        claim = assignment.claim
        self._jobs[claim.ref] = None
        told: list[Ended | Refused] = []
        name = f"run {claim.id} ({claim.queue}.{claim.job})"
        task = loop.create_task(self._attempt(assignment, told), name=name)
        self._tasks.add(task)  # the loop itself does not keep its tasks alive
        task.add_done_callback(partial(self._follow, loop, assignment, told))

    def _cancel(self, loop: asyncio.AbstractEventLoop, ref: Ref, why: str) -> None:
        if (task := self._jobs.get(ref)) is not None:
            task.cancel(why)
        elif ref in self._jobs:  # cancelled before its first step, a task would do nothing at all, and settle nothing
            loop.call_soon(self._cancel, loop, ref, why)

    async def _attempt(self, assignment: Assignment, told: list[Ended | Refused]) -> None:
        """Run an attempt, and append to *told* what it came to: this task may be cancelled by its own job, even then."""
        async with ThreadSensitiveContext() as context:
            told.append(await self._job(assignment))
            # What the job does synchronously, the ORM above all, happens in a thread of this attempt alone, made on
            # first use. It ends with the context, and so must its connections.
            if context in SyncToAsync.context_to_thread_executor:
                await undisturbed(sync_to_async(connections.close_all)())

    async def _job(self, assignment: Assignment) -> Ended | Refused:
        ref = assignment.claim.ref
        connections.limit(assignment.timeout_seconds)
        self._jobs[ref] = asyncio.current_task()
        try:
            return await run_async_attempt(assignment, self._on_start)
        finally:
            del self._jobs[ref]

    def _follow(
        self,
        loop: asyncio.AbstractEventLoop,
        assignment: Assignment,
        told: list[Ended | Refused],
        task: asyncio.Task[None],
    ) -> None:
        """Tell what came of an attempt, and go on with the one that takes its slot."""
        self._tasks.discard(task)
        following: Assignment | None = assignment
        if told:  # else it was cancelled before its first step, by a job that cancels all tasks
            [ended] = told
            following = self._hand_over(ended)
            if following is None:
                self._on_ended(ended)
        if following is not None and not self._closing.is_set():
            self._spawn(loop, following)


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


async def undisturbed(work: Coroutine[object, object, None]) -> None:
    """Await *work* to its end, whoever cancels the task that awaits it."""
    task = asyncio.create_task(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
