"""Receipts: how a worker finds out that it has settled an attempt, when only the reply to that was lost."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import Ref, Settlement
from django_jobqueue.models import Attempt, Run
from django_jobqueue.states import Outcome, State
from django_jobqueue.worker.crash import vanished

INSTEAD: dict[str, State] = {Outcome.COMPLETED: State.COMPLETED, Outcome.CANCELLED: State.CANCELLED}
"""What an attempt may have come to by the time that it is settled, whatever we make of it."""


def receipts(worker: str, missing: Sequence[Settlement]) -> dict[Ref, State]:
    """The states of those that an Attempt of *worker* tells of, unless it is told in the words of a reaper.

    Of one that was to be deleted nothing is left to tell, nor to be done. One that is told to be completed is, whatever it
    was to be settled as: an atomic job has done that itself, before it was cut off, or without hearing that it has. One that
    is told to be cancelled was, because somebody had asked for that.
    """
    if not missing:
        return {}
    database = get_config().database
    ids = [settlement.ref.id for settlement in missing]
    ours = Attempt.objects.using(database).filter(worker=worker, run_id__in=ids).exclude(error=vanished(worker))
    outcomes = {Ref(run_id, number): told for run_id, number, told in ours.values_list("run_id", "number", "outcome")}
    kept = set(Run.objects.using(database).filter(pk__in=ids).values_list("pk", flat=True))
    states: dict[Ref, State] = {}
    for settlement in missing:
        told = outcomes.get(settlement.ref)
        if settlement.ref.id not in kept if settlement.delete else told == settlement.outcome:
            states[settlement.ref] = settlement.state
        elif told in INSTEAD:
            states[settlement.ref] = INSTEAD[told]
    return states
