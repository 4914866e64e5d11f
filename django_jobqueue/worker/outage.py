"""Outages: the times in which the database does not answer, or in which somebody keeps locked what a worker needs."""

from __future__ import annotations

import logging
import random
from time import monotonic

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for

logger = logging.getLogger(__name__)

FIRST_SECONDS = 0.2
LONGEST_SECONDS = 5.0
"""Between two tries; the longer, the more have failed."""


class Outage:
    """Tells when to turn to the database again."""

    def __init__(self) -> None:
        self.next_try_at = 0.0
        """By ``time.monotonic()``."""
        self._failures = 0
        self._began = 0.0

    @property
    def lasts(self) -> bool:
        """Whether the last try has failed."""
        return self._failures > 0

    def go_on(self, error: Exception, *, kept: int) -> None:
        """The database has answered with *error*, if at all; so many results are *kept* for it."""
        seconds = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(self._failures, 10)) * random.uniform(0.5, 1.0)
        self._began = self._began if self._failures else monotonic()
        self._failures += 1
        self.next_try_at = monotonic() + seconds
        logger.warning("%s: %d results are kept; next try in %.1f s: %s", what_is_wrong(error), kept, seconds, error)

    def end(self) -> None:
        """What was kept is written."""
        if self._failures:
            logger.warning("The database lets this worker go on, after %.1f s.", monotonic() - self._began)
        self._failures = 0


def what_is_wrong(error: Exception) -> str:
    """What an error of the database says, in the words of a log."""
    if engine_for(get_config().database).is_kept_waiting(error):
        return "Somebody keeps a run or a queue locked"
    return "The database does not answer"
