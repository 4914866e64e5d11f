"""Returns: claims that are handed back, because no attempt of them will start here, or not soon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django_jobqueue.engines.base import Claim, Ref
from django_jobqueue.worker.exchange import Exchange
from django_jobqueue.worker.observer import Observer


class How(NamedTuple):
    """How a claim is handed back."""

    delay_seconds: float | None
    """For so long; None: to its old place in the line."""
    unknown: bool
    """Whether that is because this release does not know its job."""


class Returns:
    """Collects them, and hands back together what is alike."""

    def __init__(self, exchange: Exchange, observer: Observer) -> None:
        self._exchange = exchange
        self._observer = observer
        self._claims: dict[How, list[Claim]] = {}

    @property
    def refs(self) -> set[Ref]:
        """What is still to be handed back."""
        return {claim.ref for claims in self._claims.values() for claim in claims}

    def add(self, claims: Sequence[Claim], delay_seconds: float | None = None, *, unknown: bool = False) -> None:
        if claims:
            self._claims.setdefault(How(delay_seconds, unknown), []).extend(claims)

    def hand_back(self) -> bool:
        """Hand back what can be; answer whether that was something: it may be due again, or let others go."""
        before = sum(map(len, self._claims.values()))
        for how, claims in list(self._claims.items()):
            released = self._exchange.release(claims, how.delay_seconds, unknown=how.unknown)
            self._observer.cancelled(released.cancelled)
            if released.left:
                self._claims[how] = released.left
            else:
                del self._claims[how]
        return sum(map(len, self._claims.values())) < before
