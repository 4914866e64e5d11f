"""The publisher: tells workers of new work, as soon as it is committed.

Whoever adds a run sends the first word himself, and does not wait for what comes of it. Many runs are one word: what
follows within a moment is told together, by a thread that also opens the connection and closes it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from threading import Condition, Thread
from time import sleep

from django.db import connections

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Voice, Word

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
        self._has_thread = False
        self._voice: Voice | None = None
        """The one that the thread keeps open."""
        self._rests = False
        """Whether something was told a moment ago, or is being told, so that the next word has to wait."""

    def publish(self, words: Iterable[Word]) -> None:
        """Tell all who listen, and do not wait for it."""
        with self._changed:
            self._words.update(words)
            if not self._has_thread:
                self._has_thread = True
                Thread(target=self._keep_voice, name="jobqueue-publisher", daemon=True).start()
            elif self._voice is not None and not self._rests:
                with suppress(Exception):  # what is not said is left to the thread, which tells of errors
                    self._say(self._voice)
                self._changed.notify()

    def _keep_voice(self) -> None:
        try:
            with engine_for(get_config().database).voice() as voice:
                while self._goes_on(voice):
                    sleep(REST_SECONDS)
        except Exception as error:
            logger.warning("Workers could not be told of new work, and will find it by themselves: %s", error)
            with self._changed:
                self._fall_silent()

    def _goes_on(self, voice: Voice) -> bool:
        """After a rest: say what came meanwhile, or wait until somebody says something; False, when nobody does."""
        with self._changed:
            if not voice.has_said():
                return True
            self._voice, self._rests = voice, False
            if not self._words:
                self._changed.wait(LINGER_SECONDS)
            if self._words and not self._rests:
                self._say(voice)
            if not self._rests:
                self._fall_silent()
            return self._rests

    def _say(self, voice: Voice) -> None:
        voice.say(self._words)
        self._words, self._rests = set(), True

    def _fall_silent(self) -> None:
        self._words, self._voice, self._has_thread = set(), None, False


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
