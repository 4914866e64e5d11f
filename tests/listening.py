"""A listener to all events, for tests to look at and to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.dispatch import Signal

from django_jobqueue import signals
from django_jobqueue.models import Run
from django_jobqueue.signals import Event, RunEvent
from django_jobqueue.transports.publisher import publisher

PATIENCE_SECONDS = 60.0

SIGNALS = [
    signals.run_enqueued,
    signals.run_started,
    signals.run_completed,
    signals.run_retrying,
    signals.run_failed,
    signals.run_dead_lettered,
    signals.run_cancelled,
    signals.schedule_triggered,
    signals.scheduler_ticked,
]


class Listener:
    """Keeps every event that is sent."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._told = threading.Condition()

    def connect(self) -> None:
        for signal in SIGNALS:
            signal.connect(self._hear, weak=False)

    def disconnect(self) -> None:
        for signal in SIGNALS:
            signal.disconnect(self._hear)

    def of(self, run: Run | int) -> list[Any]:
        """The events of one run, in their order."""
        run_id = run.pk if isinstance(run, Run) else run
        return [event for event in list(self.events) if isinstance(event, RunEvent) and event.run_id == run_id]

    def keys(self, run: Run | int) -> list[str]:
        """What was told of one run, without the prefix that all have."""
        return [event.key.removeprefix("job.") for event in self.of(run)]

    def wait_for(self, happened: Callable[[], object]) -> None:
        with self._told:
            assert self._told.wait_for(happened, PATIENCE_SECONDS), "it was not told"

    def _hear(self, *, sender: type[Event], event: Event, **_: object) -> None:
        assert sender is type(event)
        with self._told:
            self.events.append(event)
            self._told.notify_all()


@contextmanager
def received_by(receiver: Callable[..., Any], *heard: Signal) -> Iterator[None]:
    """Let *receiver* hear of the signals *heard*, to the end of the block."""
    for signal in heard:
        signal.connect(receiver, weak=False)
    try:
        yield
    finally:
        for signal in heard:
            signal.disconnect(receiver)


def waiting_events() -> list[object]:
    """What waits for the commit, but for the words by which workers are woken."""
    waiting = [entry[1] for entry in connection.run_on_commit]
    return [function for function in waiting if getattr(function, "func", None) != publisher.publish]
