"""Receipts: how a worker finds out that it has settled an attempt, when only the reply to that was lost."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import Ref, Settlement
from django_jobqueue.models import Attempt, Run
from django_jobqueue.states import State


def receipts(worker: str, missing: Sequence[Settlement]) -> dict[Ref, State]:
    """The states of those that an Attempt of *worker* tells of. One that a reaper wrote tells another outcome.

    Of one that was to be deleted nothing is left to tell, nor to be done.
    """
    if not missing:
        return {}
    database = get_config().database
    ids = [settlement.ref.id for settlement in missing]
    ours = Attempt.objects.using(database).filter(worker=worker, run_id__in=ids)
    outcomes = {Ref(run_id, number): told for run_id, number, told in ours.values_list("run_id", "number", "outcome")}
    kept = set(Run.objects.using(database).filter(pk__in=ids).values_list("pk", flat=True))
    return {
        settlement.ref: settlement.state
        for settlement in missing
        if (settlement.ref.id not in kept if settlement.delete else outcomes.get(settlement.ref) == settlement.outcome)
    }
