"""How a locked queue stands."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django_jobqueue.engines.base import Running
from django_jobqueue.limits import QueueRules


class Standing(NamedTuple):
    """What holds in a queue, from when its lock was ours until the transaction ends."""

    rules: QueueRules
    running: list[Running]
    """Before we have claimed anything."""
    now: datetime
