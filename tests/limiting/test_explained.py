"""``explain`` says nothing of a run if and only if a claim that comes to it takes it, whatever the tables say."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_jobqueue.limiting.sweep import Sweep
from django_jobqueue.limits import Limit
from django_jobqueue.models import LimitBucket, QueueState, Run
from django_jobqueue.operations import explain
from django_jobqueue.operations.obstacles import Rule
from tests.limiting.conftest import Configure, Office, undone

pytestmark = [pytest.mark.django_db, pytest.mark.slow, pytest.mark.also_on_mysql]

FIRST = 30_000
"""A priority before all others."""

NOT_OF_THE_CLAIM = {Rule.NO_WORKER, Rule.JOB_UNUSABLE}

hours = st.sampled_from([None, None, -1, 1])
limits = st.builds(
    lambda *parts: {name: value for part in parts for name, value in part.items()},
    st.sampled_from([{}, {}, {"concurrent_jobs": 1}, {"concurrent_jobs": 3}]),
    st.sampled_from([{}, {}, {"concurrent_jobs_per_key": 1}, {"concurrent_jobs_per_key": 1, "keep_order": True}]),
    st.sampled_from([{}, {}, {"rate_limit": "1/h"}, {"rate_limit": "1/h", "rate_key": "x"}]),
)
states = st.fixed_dictionaries(
    {"job": st.sampled_from(["", "send", "old", "gone"])},
    optional={"paused": hours, "concurrent_jobs": hours, "concurrent_jobs_per_key": hours, "rate_limit": hours},
)
LINES = ["job:old", "key:old/a", "rate:old", "pause:send", "pause:gone", "job:send", "job:post", "rate:", "rate:/r", "rate:send", "rate:send/r", "key:/a", "key:send/a"]  # fmt: skip
buckets = st.fixed_dictionaries(
    {
        "key": st.sampled_from([line for line in LINES if line.startswith("rate:")]),
        "tokens": st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]),
        "next_at": hours,
    }
)
runs = st.fixed_dictionaries(
    {
        "job": st.sampled_from(["send", "send", "old", "post", "gone"]),
        "concurrency_key": st.sampled_from([None, "a", "a", "b"]),
        "rate_key": st.sampled_from([None, "r"]),
        "priority": st.sampled_from([0, 0, 1]),
        "run_at": st.sampled_from([-1, -1, 0, 1]),
        "expires_at": hours,
        "state": st.sampled_from(["pending", "pending", "running"]),
        "blocked_on": st.sampled_from([None] * len(LINES) + LINES),
    }
)


def moment(hours: int | None, now: datetime) -> datetime | None:
    return None if hours is None else now + timedelta(hours=hours)


def could_be_parked(run: dict[str, Any]) -> bool:
    """Whether some settings would park it where it is: no line has runs of other jobs or keys."""
    if run["blocked_on"] is None:
        return False
    line = Limit.parse(run["blocked_on"])
    key = run["concurrency_key" if line.kind == "key" else "rate_key"]
    names = {"", run["job"]} | ({"send"} if run["job"] == "old" else set())
    return line.job in names and line.key in {None, key}


def fill(tables: dict[str, list[dict[str, Any]]]) -> None:
    """Write the rows that were drawn."""
    now = timezone.now()
    for state in tables["states"]:
        columns: dict[str, Any] = {"job": state["job"]}
        for name, value in {"concurrent_jobs": 2, "concurrent_jobs_per_key": 1, "rate_limit": "2/h"}.items():
            if name in state:
                columns |= {name: value, f"{name}_until": moment(state[name], now)}
        if "paused" in state:
            columns |= {"paused_at": now, "paused_until": moment(state["paused"], now)}
        QueueState.objects.create(queue="mail", **columns)
    for bucket in tables["buckets"]:
        next_at = moment(bucket["next_at"], now)
        LimitBucket.objects.create(queue="mail", updated_at=now, full_at=now, **bucket | {"next_at": next_at})
    for run in tables["runs"]:
        if not could_be_parked(run):
            run = run | {"blocked_on": None}
        columns = run | {name: moment(run[name], now) for name in ("run_at", "expires_at")}
        if run["state"] == "running":
            columns |= {"lease_until": now, "started_at": now, "attempt": 1, "worker": "w", "blocked_on": None}
        Run.objects.create(queue="mail", created_at=now, **columns)


def told(run: Run) -> set[Rule]:
    """What is said of it that concerns the claim."""
    return {obstacle.code for obstacle in explain(run.pk)} - NOT_OF_THE_CLAIM


def is_taken(run: Run) -> bool:
    office = Office()
    office.limiter.rules("mail")  # what a worker has found out in its first claim
    return run.pk in office.claim(100)


@given(
    queue=limits,
    send=limits,
    tables=st.fixed_dictionaries(
        {
            "states": st.lists(states, max_size=3, unique_by=lambda state: state["job"]),
            "buckets": st.lists(buckets, max_size=3, unique_by=lambda bucket: bucket["key"]),
            "runs": st.lists(runs, min_size=1, max_size=8),
        }
    ),
)
@settings(
    max_examples=settings().max_examples // 2,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_nothing_is_told_of_a_run_if_and_only_if_a_claim_that_comes_to_it_takes_it(
    configure: Configure, queue: dict[str, Any], send: dict[str, Any], tables: dict[str, list[dict[str, Any]]]
) -> None:
    configure(**queue, jobs={"send": send | {"aliases": ["old"]}})
    with undone():
        fill(tables)
        for run in Run.objects.filter(state="pending"):
            with undone():
                Run.objects.filter(pk=run.pk).update(priority=FIRST)  # so that no other is before it
                obstacles = told(run)
                if obstacles == {Rule.PARKED}:
                    Sweep().turn()
                    obstacles = told(run)
                    assert Rule.PARKED not in obstacles

                assert is_taken(run) == (not obstacles), obstacles
