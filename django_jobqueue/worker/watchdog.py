"""The watchdog: looks now and then at what must be seen even while everything else waits for the database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from django_jobqueue.conf import get_config

logger = logging.getLogger(__name__)

LOOKS_PER_LEASE = 20
LONGEST_SECONDS = 1.0


class Watchdog:
    """Calls each of *looks*, from a thread of its own that never waits for anything else, from start to end of a block."""

    def __init__(self, *looks: Callable[[], None]) -> None:
        self._looks = looks
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="jobqueue-watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        shortest = min(queue.lease_seconds for queue in get_config().queues.values())
        while not self._over.wait(min(LONGEST_SECONDS, shortest / LOOKS_PER_LEASE)):
            for look in self._looks:
                try:
                    look()
                except Exception:  # whatever it is, the other looks must not end with it
                    logger.exception("%s failed.", look)
