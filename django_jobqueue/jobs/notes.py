"""Notes: what passes between a job and its worker while the job runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from django_jobqueue.jobs.outcomes import Completed, Decision


class Said(NamedTuple):
    """What a job has said for others to see, as JSON text; None where it said nothing."""

    progress: str | None = None
    metadata: str | None = None


class Notes:
    """What a job has said so far, and what it is asked; shared by its threads and those of the worker.

    The job writes until it returns; each method says whether it came in time. The worker reads now and then while the
    job runs, and once more when it has ended.
    """

    def __init__(self, metadata: str | None = None) -> None:
        """Begin with the *metadata* of the run, as JSON text."""
        self.metadata: Mapping[str, Any] = {} if metadata is None else json.loads(metadata)
        self.said = Said()
        self.cancel_requested = False
        self._decision: Decision | None = None
        self._closed = False
        self._stored = self.said
        self._lock = threading.Lock()

    def put_progress(self, progress: str) -> bool:
        """Let *progress* be the latest."""
        with self._lock:
            if not self._closed:
                self.said = self.said._replace(progress=progress)
            return not self._closed

    def put_metadata(self, values: Mapping[str, Any], encode: Callable[[Mapping[str, Any]], str]) -> bool:
        """Merge *values* into the metadata, unless *encode* refuses what comes of it."""
        with self._lock:
            if not self._closed:
                text = encode({**self.metadata, **values})
                self.said = self.said._replace(metadata=text)
                self.metadata = json.loads(text)  # as later attempts will see it
            return not self._closed

    def put_decision(self, decision: Decision) -> bool:
        """Let *decision* be the latest."""
        with self._lock:
            if not self._closed:
                self._decision = decision
            return not self._closed

    def tell(self, progress: str | None, metadata: str | None) -> None:
        """Let this be the latest: what the job has said in another process."""
        with self._lock:
            if not self._closed:
                self.said = Said(progress, metadata)

    def close(self, end: Decision | BaseException) -> Decision | BaseException:
        """Take nothing more. Answer with the latest decision where the job has returned; with its *end* otherwise."""
        with self._lock:
            self._closed = True
        return self._decision if self._decision is not None and isinstance(end, Completed) else end

    def unstored(self) -> Said | None:
        """What was said, unless all of it is ``stored``."""
        said = self.said
        return None if said is self._stored else said

    def stored(self, said: Said) -> None:
        """Remember that *said* is in the database."""
        self._stored = said
