"""The publisher: tells workers of new work, soon after it is committed, and beside those who add it.

It speaks from a thread of its own. So nobody who adds a run waits for it, and many runs are one word: the first is told at
once, and whatever follows a moment later is told together.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from functools import partial
from threading import Condition, Thread
from time import sleep

from django.db import connections

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Word

logger = logging.getLogger(__name__)

REST_SECONDS = 0.02
"""Between two words: with each, every commit of the server waits a moment."""
LINGER_SECONDS = 3.0
"""For how long the connection is kept. Not for 5 s, as a test database is not dropped while one is open, and it waits so long."""


class Publisher:
    """Speaks for this process. Its thread, and the connection, end when there is nothing more to tell."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew: a process that was forked has no thread of this."""
        self._changed = Condition()
        self._words: set[Word] = set()
        """What is to be told."""
        self._speaking = False

    def publish(self, words: Iterable[Word]) -> None:
        """Tell all who listen, and do not wait for it."""
        with self._changed:
            self._words.update(words)
            if not self._speaking:
                self._speaking = True
                Thread(target=self._speak, name="jobqueue-publisher", daemon=True).start()
            self._changed.notify()

    def _speak(self) -> None:
        try:
            with engine_for(get_config().database).voice() as tell:
                while words := self._next():
                    tell(words)
                    sleep(REST_SECONDS)
        except Exception as error:
            logger.warning("Workers could not be told of new work, and will find it by themselves: %s", error)
            self._fall_silent()

    def _next(self) -> set[Word]:
        """What to tell next; nothing, when the thread is to end."""
        with self._changed:
            if not self._words:
                self._changed.wait(LINGER_SECONDS)
            words, self._words = self._words, set()
            self._speaking = bool(words)
            return words

    def _fall_silent(self) -> None:
        with self._changed:
            self._words, self._speaking = set(), False


publisher = Publisher()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
    os.register_at_fork(after_in_child=publisher.reset)


def publish_on_commit(queues: Iterable[str], *, cancel: bool = False) -> None:
    """Tell workers that there is work in *queues*, or something to *cancel*, once the transaction is committed.

    Of one that the caller began by hand, Django does not tell when that is: then nobody is told.
    """
    config = get_config()
    connection = connections[config.database]
    if engine_for(config.database).has_voice and (connection.in_atomic_block or connection.get_autocommit()):
        words = [Word(config.namespace, queue, cancel) for queue in queues]
        connection.on_commit(partial(publisher.publish, words), robust=True)
