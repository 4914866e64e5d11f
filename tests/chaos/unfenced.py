"""Workers without the fence, for the proof that the checker would find them out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:  # this is read while Django loads its apps: no models yet
    from django_jobqueue.engines.base import Engine, Ref, Settlement
    from django_jobqueue.states import State


class UnfencedConfig(AppConfig):
    name = "tests.chaos.unfenced"
    path = str(Path(__file__).parent)

    def ready(self) -> None:
        """Let settlements end whatever attempt runs now: all that they ask is whether the run is running."""
        from django_jobqueue.engines import engine_for

        engine = type(engine_for("default"))
        engine._settle = _unfenced(engine._settle)  # type: ignore[method-assign]


def _unfenced(settle: Callable[..., dict[Ref, State]]) -> Callable[..., dict[Ref, State]]:
    def settle_any(self: Engine, settlements: Sequence[Settlement], *, expired: bool) -> dict[Ref, State]:
        from django_jobqueue.models import Run

        ids = [settlement.ref.id for settlement in settlements]
        attempts = dict(Run.objects.using(self.alias).filter(pk__in=ids).values_list("pk", "attempt"))
        running = [settlement.ref._replace(attempt=attempts[settlement.ref.id]) for settlement in settlements]
        theirs = [replace(settlement, ref=ref) for settlement, ref in zip(settlements, running, strict=True)]
        own = {other.ref: settlement.ref for other, settlement in zip(theirs, settlements, strict=True)}
        return {own[ref]: state for ref, state in settle(self, theirs, expired=expired).items()}

    return settle_any
