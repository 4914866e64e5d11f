"""The listener: hears of new work, and of what is to be cancelled, in a thread of the worker's own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event, Thread
from types import TracebackType
from typing import Self

from django.db import connections

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Ear, Word

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""After which it listens again, when that has failed."""
LAST_SECONDS = 1.0
"""What it gets to end: a server that does not answer must not keep the process from ending."""


class Listener:
    """Calls *wake* whenever there may be work in *queues*, and *hurry* when a running run of them may have been asked to
    cancel, from start to end of a block.
    """

    def __init__(self, queues: Sequence[str], wake: Callable[[], None], hurry: Callable[[], None]) -> None:
        config = get_config()
        words = [Word(config.namespace, queue, cancel) for queue in queues for cancel in (False, True)]
        self._open_ear = partial(engine_for(config.database).ear, words)
        self._wake = wake
        self._hurry = hurry
        self._ended = Event()
        self._ear: Ear | None = None
        self._thread = Thread(target=self._work, name="jobqueue-listener", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if (ear := self._ear) is not None:
            ear.close()
        self._thread.join(LAST_SECONDS)

    def _work(self) -> None:
        while not self._ended.is_set() and (ear := self._open_ear()) is not None:
            try:
                with ear as self._ear:
                    self._listen(self._ear)
            except Exception as error:
                logger.warning(
                    "The connection that tells of new work is lost. Until there is another, we look by ourselves: %s",
                    error,
                )
                self._ended.wait(RETRY_SECONDS)
        connections.close_all()

    def _listen(self, ear: Ear) -> None:
        self._wake()  # for what nobody has heard until now
        while not self._ended.is_set() and (words := ear.hear()):
            cancels = {word.cancel for word in words}
            if False in cancels:
                self._wake()
            if True in cancels:
                self._hurry()
