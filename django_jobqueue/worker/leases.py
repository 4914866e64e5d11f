"""The leases of one worker process."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from django_jobqueue.engines.base import Claim, Ref


class Leases:
    """What this process has claimed and not yet settled; shared by the main thread and the heartbeat."""

    def __init__(self) -> None:
        self._claims: dict[Ref, tuple[Claim, float]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._claims)

    def __contains__(self, ref: object) -> bool:
        return ref in self._claims

    def add(self, claims: Iterable[Claim], lease_seconds: float) -> None:
        with self._lock:
            self._claims.update((claim.ref, (claim, lease_seconds)) for claim in claims)

    def drop(self, refs: Iterable[Ref]) -> None:
        with self._lock:
            for ref in refs:
                self._claims.pop(ref, None)

    def claims(self) -> list[Claim]:
        with self._lock:
            return [claim for claim, _ in self._claims.values()]

    def renewals(self) -> list[tuple[Ref, float]]:
        """What to give to ``Engine.renew``."""
        with self._lock:
            return [(ref, lease_seconds) for ref, (_, lease_seconds) in self._claims.items()]
