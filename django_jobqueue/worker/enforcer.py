"""The enforcer: kills the processes of jobs that were asked to end, and have not by their time."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from django_jobqueue.engines.base import Ref
from django_jobqueue.worker.leases import Leases


class Enforcer:
    """Does what others have decided: it waits for no database, as they may."""

    def __init__(self, leases: Leases, kill: Callable[[Ref], None]) -> None:
        """*Kill* is given the attempt whose process is to be killed, if it has one of its own."""
        self._leases = leases
        self._kill = kill

    def look(self) -> None:
        """Look at all leases. To be called about every second, or more often where leases are short."""
        for lease in self._leases.all():
            if lease.kill_at <= monotonic():
                self._kill(lease.claim.ref)
