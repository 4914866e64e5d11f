"""``manage.py replayjobs``: run the payloads of ended runs again."""

from __future__ import annotations

from django_jobqueue.management.many_runs import ManyRunsCommand
from django_jobqueue.operations import replay_many
from django_jobqueue.states import FINAL_STATES


class Command(ManyRunsCommand):
    help = (
        "Replays ended runs: each payload runs again, as a new run, by the job as it is now. A filter selects only runs "
        "that failed or were dead-lettered, unless it has a --state. A run is replayed once."
    )
    verb = "Replay"
    operation = replay_many
    states_of_ids = tuple(sorted(FINAL_STATES))
    counted = {"replayed": "replayed"}
    left_alone = "which have not ended, or were replayed before"
