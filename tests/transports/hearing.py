"""Listening, for the length of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from django_jobqueue.transports.listener import Listener
from django_jobqueue.transports.publisher import publisher
from tests.worker.bench import PATIENCE_SECONDS, wait_until

SHORT_SECONDS = 0.3
"""What is not heard in this time is not heard."""


def wait_for_silence() -> None:
    """Return when all has been told that was to be told, and the next word comes from a new voice."""

    def is_silent() -> bool:
        with publisher._changed:
            publisher._changed.notify()  # it need not linger
            return not publisher._has_thread

    wait_until(is_silent)


@contextmanager
def heard(*queues: str) -> Iterator[Event]:
    """What is set when there is work in *queues*, once the block begins."""
    woken, ready = Event(), Event()

    def wake() -> None:
        (woken if ready.is_set() else ready).set()

    with Listener(queues or ["default"], wake, hurry=lambda: None):
        assert ready.wait(PATIENCE_SECONDS), "nobody listens"
        yield woken
