"""Workers, operators and mishaps in any order: no limit is exceeded, no slot is lost, nobody who may start is forgotten."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_jobqueue import operations
from django_jobqueue.errors import InvalidArgument, RunNotFound
from django_jobqueue.limiting.sweep import Sweep
from django_jobqueue.limits import Candidate, Limit
from django_jobqueue.models import QueueState, Run
from django_jobqueue.operations.expiring import expire_some
from django_jobqueue.operations.limits import LIMIT_OPTIONS, LimitOption
from django_jobqueue.operations.obstacles import Rule
from django_jobqueue.states import State
from tests.limiting.conftest import Configure, Office, reap, undone

ONE_PER_KEY = {"concurrent_jobs_per_key": 1}
IN_ORDER = {**ONE_PER_KEY, "keep_order": True}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"concurrent_jobs": 2},
    {"jobs": {"send": {"concurrent_jobs": 1}}},
    {"concurrent_jobs_per_key": 2},
    {"concurrent_jobs": 2, **ONE_PER_KEY},
    {**ONE_PER_KEY, "jobs": {"send": {"concurrent_jobs": 1}}},
    {"jobs": {"send": {"concurrent_jobs": 2, **ONE_PER_KEY}, "post": {"concurrent_jobs": 1}}},
    IN_ORDER,
    {"jobs": {"send": IN_ORDER}, "concurrent_jobs": 2},
    {**IN_ORDER, "jobs": {"send": {"concurrent_jobs": 1}}},
    {"rate_limit": "1/d", "rate_burst": 5, **ONE_PER_KEY},
    {"jobs": {"send": {"rate_limit": "1/d", "rate_burst": 2}}, "concurrent_jobs": 2},
    {"rate_limit": "1/d", "rate_burst": 3, "jobs": {"send": {"rate_limit": "1/d"}}},
]

HELD_FOR_GOOD = {Rule.NOT_DUE, Rule.QUEUE_PAUSED, Rule.JOB_PAUSED, Rule.RATE, Rule.KEPT_ORDER}
"""What may still hold a run back when nothing is running any more."""

jobs = st.sampled_from(["send", "post"])
scopes = st.sampled_from(["", "send", "post"])
workers = st.sampled_from([0, 1])
some = st.integers(1, 3)
keys = st.sampled_from([None, "a", "a", "b"])
limits = st.sampled_from(["concurrent_jobs", "concurrent_jobs", "concurrent_jobs_per_key", "rate_limit"])
for_a_while = st.booleans()

UNTIL = [f"{name}_until" for name in ("paused", *LIMIT_OPTIONS)]


class Limits(RuleBasedStateMachine):
    """Each example works in a savepoint of its own, and calls what waits for its commit."""

    configure: Configure
    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.atomic()
        self.savepoint.__enter__()

    def teardown(self) -> None:
        try:
            self.nobody_who_may_start_is_forgotten()
        finally:
            transaction.set_rollback(True)
            self.savepoint.__exit__(None, None, None)

    @initialize(options=st.sampled_from(OPTIONS))
    def begin(self, options: dict[str, Any]) -> None:
        self.configure(**options)
        self.offices = [Office("worker-a"), Office("worker-b")]
        self.sweeping = Sweep()
        self.started: Counter[Limit] = Counter()
        """How many since the rates were last changed."""

    # --- Workers ---

    @rule(
        target=runs,
        job=jobs,
        key=keys,
        rate_key=keys,
        priority=st.sampled_from([0, 0, 1]),
        later=st.sampled_from([False, False, False, True]),
    )
    def add(self, job: str, key: str | None, rate_key: str | None, priority: int, *, later: bool) -> int:
        delay = 3600 if later else 0
        return self.offices[0].add(job, key=key, rate_key=rate_key, priority=priority, delay_seconds=delay)

    @rule(worker=workers, limit=some, state=st.sampled_from([State.COMPLETED, State.FAILED, State.PENDING]), end=some)
    def trade(self, worker: int, limit: int, state: State, end: int) -> None:
        """End some attempts, and claim."""
        office = self.offices[worker]
        claimed = office.claim(limit, ended=list(office.held)[: end - 1], state=state)
        self.check(claimed)

    @precondition(lambda self: any(office.held for office in self.offices))
    @rule(worker=workers, way=st.sampled_from(["end", "send back", "release", "lose"]))
    def give_up(self, worker: int, way: str) -> None:
        """One attempt is over, and its worker claims nothing."""
        office = self.offices[worker]
        for run_id in list(office.held)[:1]:
            match way:
                case "end":
                    office.end(run_id)
                case "send back":
                    office.end(run_id, state=State.PENDING)
                case "release":
                    office.release(run_id)
                case "lose":
                    office.lose(run_id)

    @rule(worker=workers)
    def reap(self, worker: int) -> None:
        reap(self.offices[worker], delay_seconds=0)

    @rule()
    def sweep(self) -> None:
        self.sweeping.turn()

    # --- Operators ---

    @rule(run_id=runs)
    def cancel(self, run_id: int) -> None:
        with suppress(RunNotFound):
            operations.cancel(run_id, actor="ana")
        self.commit()

    @rule(run_id=runs)
    def delete(self, run_id: int) -> None:
        """As somebody might in a shell, who tells nobody of it; so a sweep comes by."""
        Run.objects.filter(pk=run_id).delete()
        self.sweeping.turn()

    @rule(run_id=runs)
    def expire(self, run_id: int) -> None:
        Run.objects.filter(pk=run_id, state=State.PENDING).update(expires_at=timezone.now() - timedelta(hours=1))
        expire_some()
        self.commit()

    @rule(run_id=runs)
    def reschedule(self, run_id: int) -> None:
        if Run.objects.filter(pk=run_id, state=State.PENDING).exists():
            operations.reschedule(run_id, actor="ana", delay_seconds=0)
            self.commit()

    @rule(limit=limits, job=scopes, value=some, for_a_while=for_a_while)
    def set_limit(self, limit: LimitOption, job: str, value: int, *, for_a_while: bool) -> None:
        with suppress(InvalidArgument):  # what would loosen the declared limit of keys
            operations.set_limit(
                "mail",
                limit,
                f"{value}/d" if limit == "rate_limit" else value,
                job=job,
                actor="ana",
                until=self.soon(for_a_while=for_a_while),
            )
        self.commit()

    @rule(limit=limits, job=scopes)
    def clear_limit(self, limit: LimitOption, job: str) -> None:
        operations.clear_limit("mail", limit, job=job, actor="ana")
        self.commit()

    @rule(job=scopes, pause=st.booleans(), for_a_while=for_a_while)
    def pause_or_resume(self, job: str, *, pause: bool, for_a_while: bool) -> None:
        until = self.soon(for_a_while=for_a_while)
        match job, pause:
            case "", True:
                operations.pause_queue("mail", actor="ana", until=until)
            case "", False:
                operations.resume_queue("mail", actor="ana")
            case _, True:
                operations.pause_job("mail", job, actor="ana", until=until)
            case _:
                operations.resume_job("mail", job, actor="ana")
        self.commit()

    @rule()
    def see_the_end_of_what_was_for_a_while(self) -> None:
        over = timezone.now() - timedelta(seconds=1)
        for until in UNTIL:
            QueueState.objects.exclude(**{until: None}).update(**{until: over})
        self.started.clear()
        self.sweeping.turn()

    # --- What must hold ---

    @rule()
    def nobody_who_may_start_is_forgotten(self) -> None:
        """Without a sweep: let other workers do all that is left to do, and see who remains, and why."""
        started = self.started.copy()
        with undone():
            Run.objects.filter(state=State.RUNNING).update(lease_until=timezone.now() - timedelta(minutes=1))
            others = [Office("worker-c"), Office("worker-d")]
            reap(others[0], delay_seconds=0)
            idle = 0
            while idle < 3:
                for office in others:
                    claimed = office.claim(2, ended=list(office.held))
                    self.check(claimed)
                    idle = 0 if claimed or office.held else idle + 1
            for run in Run.objects.filter(state=State.PENDING):
                codes = {obstacle.code for obstacle in operations.explain(run.pk)}
                assert codes & HELD_FOR_GOOD, (run, run.blocked_on, codes)
        self.started = started

    def check(self, claimed: list[int]) -> None:
        """No limit of a run that was just claimed is exceeded, and it was its turn."""
        rules = self.offices[0].limiter.rules("mail")
        running = Run.objects.filter(state=State.RUNNING)
        assert not (claimed and rules.queue.paused)
        if claimed and rules.queue.concurrent_jobs is not None:
            assert running.count() <= rules.queue.concurrent_jobs
        candidates = [self.candidate(run) for run in running]
        taken = Counter(limit for run in candidates for limit in rules.limits(run))
        for run in candidates:
            for limit in rules.limits(run) if run.id in claimed else ():
                assert limit.kind != "pause"
                if (rate := rules.rate(limit)) is not None and limit.kind == "rate":
                    self.started[limit] += 1
                    assert self.started[limit] <= rate.burst, limit
                    continue
                most = rules.most(limit)
                assert most is not None, limit
                assert taken[limit] <= most, limit
                if rules.keeps_order(limit):
                    assert run.id == min(
                        other.pk for other in Run.objects.live() if limit in rules.limits(self.candidate(other))
                    )

    @staticmethod
    def candidate(run: Run) -> Candidate:
        return Candidate(run.pk, run.priority, run.run_at, run.job, run.concurrency_key, run.rate_key)

    @staticmethod
    def soon(*, for_a_while: bool) -> datetime | None:
        return timezone.now() + timedelta(hours=1) if for_a_while else None

    def commit(self) -> None:
        """Call what waits for the commit; rates may be others now."""
        self.started.clear()
        waiting, connection.run_on_commit = connection.run_on_commit, []
        for _savepoints, function, *_ in waiting:
            function()


@pytest.mark.also_on_mysql
@pytest.mark.django_db
@pytest.mark.slow
def test_limits_hold_and_lose_nobody_whatever_happens(configure: Configure) -> None:
    Limits.configure = staticmethod(configure)
    run_state_machine_as_test(
        Limits,
        settings=settings(
            max_examples=settings().max_examples // 5,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
