"""Jobs that do nothing, so that what is measured is the queue."""

from __future__ import annotations

from django_jobqueue import job


@job
def noop(number: int) -> None:
    """Return at once."""


@job
async def async_noop(number: int) -> None:
    """Return at once, on the event loop."""
