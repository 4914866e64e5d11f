"""Receipts: how a worker finds out that it has settled an attempt, when only the reply to that was lost."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import Ref, Settlement
from django_jobqueue.models import Attempt, Run
from django_jobqueue.states import Outcome, State


def receipts(worker: str, missing: Sequence[Settlement]) -> dict[Ref, State]:
    """The states of those that an Attempt of *worker* tells of, in the words that they were to be settled with.

    A reaper writes in the same name, and has words of its own. Of one that was to be deleted nothing is left to tell, nor to
    be done. One that is told to be completed is, whatever it was to be settled as: an atomic job has done that itself, before
    it was cut off, or without hearing that it has. One that is told to be cancelled was, because somebody had asked for that.
    """
    if not missing:
        return {}
    database = get_config().database
    ids = [settlement.ref.id for settlement in missing]
    ours = Attempt.objects.using(database).filter(worker=worker, run_id__in=ids)
    told = {
        Ref(run_id, number): (outcome, error)
        for run_id, number, outcome, error in ours.values_list("run_id", "number", "outcome", "error")
    }
    kept = set(Run.objects.using(database).filter(pk__in=ids).values_list("pk", flat=True))
    states: dict[Ref, State] = {}
    for settlement in missing:
        if settlement.delete and settlement.ref.id not in kept:
            states[settlement.ref] = settlement.state
        elif (attempt := told.get(settlement.ref)) and (state := _told(settlement, *attempt)):
            states[settlement.ref] = state
    return states


def _told(settlement: Settlement, outcome: str, error: str | None) -> State | None:
    """The state of a run of which an Attempt tells this; None, where that is not what was to be written."""
    if outcome == Outcome.COMPLETED:
        return State.COMPLETED
    if error != settlement.error:
        return None
    if outcome == Outcome.CANCELLED:
        return State.CANCELLED
    return settlement.state if outcome == settlement.outcome else None
