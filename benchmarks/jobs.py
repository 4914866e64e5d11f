"""Jobs that do nothing, so that what is measured is the queue."""

from __future__ import annotations

import os
from socket import AF_UNIX, SOCK_DGRAM, socket
from time import monotonic

from django_jobqueue import job


@job
def noop(number: int) -> None:
    """Return at once."""


@job
async def async_noop(number: int) -> None:
    """Return at once, on the event loop."""


@job
def tell() -> None:
    """Tell the time at which this starts to whoever listens."""
    now = monotonic()
    with socket(AF_UNIX, SOCK_DGRAM) as mouth:
        mouth.sendto(str(now).encode(), os.environ["BENCHMARK_EAR"])
