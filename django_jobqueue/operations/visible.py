"""What of a run somebody may see. A face that shows more than its id and its state shows it through here."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cached_property
from typing import Any

from django_jobqueue.jobs import redacted, registry
from django_jobqueue.models import Attempt, Run

TOLD = [
    *("error", "result", "progress", "metadata", "tags", "tenant", "user", "trace_id"),
    *("concurrency_key", "rate_key", "unique_key", "blocked_on"),
]
"""The columns beside the payload that may tell a value of it, because a job or a caller wrote them."""


class Visible:
    """A run and what belongs to it: as they are, to those who may see *secrets*, or with stars for these."""

    def __init__(self, run: Run, *, secrets: bool) -> None:
        self._run = run
        self._secrets = None if secrets else registry.secrets(run.queue, run.job, run.version)

    @cached_property
    def run(self) -> Run:
        """The run, to be shown and not to be saved."""
        if self._secrets is None:
            return self._run
        shown = copy(self._run)
        shown.payload = self._secrets.redacted(self._run.payload)
        for column in set(TOLD) - self._run.get_deferred_fields():
            setattr(shown, column, self.value(getattr(self._run, column)))
        return shown

    def attempt(self, attempt: Attempt) -> Attempt:
        """An attempt of the run. Its texts were kept without what was secret then; by now, more may be."""
        shown = copy(attempt)
        shown.error, shown.traceback = self.value(attempt.error), self.value(attempt.traceback)
        return shown

    def value(self, value: Any) -> Any:
        """A text, or any JSON value, that may tell something of the payload."""
        return self._without_secrets(value)

    @cached_property
    def _without_secrets(self) -> Callable[[Any], Any]:
        if self._secrets is None:
            return lambda value: value
        hide = self._secrets.scrubber(self._run.payload)
        return lambda value: _each_text(redacted(value), hide)


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """*value* with each text in it changed, and each number whose text would be."""
    if isinstance(value, dict):
        return {key: _each_text(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_each_text(item, change) for item in value]
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return value
    changed = change(str(value))
    return value if changed == str(value) else changed
