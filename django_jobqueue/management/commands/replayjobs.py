"""``manage.py replayjobs``: run the payloads of ended runs again."""

from __future__ import annotations

from dataclasses import replace

from django_jobqueue.management.command import operator
from django_jobqueue.management.many_runs import ManyRunsCommand
from django_jobqueue.models import RunQuerySet
from django_jobqueue.operations import replay
from django_jobqueue.operations.run_filter import BAD_ENDS, RunFilter


class Command(ManyRunsCommand):
    help = (
        "Replays ended runs: each payload runs again, as a new run, by the job as it is now. A filter names those that "
        "failed or were dead-lettered, unless it says --state. A run is replayed once."
    )
    verb = "Replay"
    outcomes = {"replayed": "replayed", "replayed_before": "replayed before"}

    def chosen(self, asked: RunFilter) -> RunQuerySet:
        return (asked if asked.states else replace(asked, states=tuple(sorted(BAD_ENDS)))).runs().ended()

    def act(self, run_id: int, *, reason: str) -> str:
        return "replayed" if replay(run_id, actor=operator(), reason=reason).added else "replayed_before"
