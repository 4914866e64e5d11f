from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from math import inf
from typing import Any, TypeAlias

import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Claim, LostRun, NewRun, Settlement, bounds
from django_jobqueue.jobs import JobRegistry, registry
from django_jobqueue.limiting.limiter import Limiter
from django_jobqueue.limiting.turn import Freed
from django_jobqueue.models import Run
from django_jobqueue.states import Outcome, Reason, State
from tests.engines import endings

Configure: TypeAlias = Callable[..., None]


def work() -> None:
    """Nothing."""


class Office:
    """A worker of queue ``mail`` that does by hand what a worker does."""

    def __init__(self, name: str = "worker-a") -> None:
        self.name = name
        self.engine = engine_for("default")
        self.limiter = Limiter()
        self.held: dict[int, Claim] = {}
        self.more = False

    def add(self, job: str = "send", *, key: str | None = None, rate_key: str | None = None, **fields: Any) -> int:
        """Add a run, and answer with its id."""
        return self.add_many(1, job, key=key, rate_key=rate_key, **fields)[0]

    def add_many(
        self, count: int, job: str = "send", *, key: str | None = None, rate_key: str | None = None, **fields: Any
    ) -> list[int]:
        new = NewRun(queue="mail", job=job, concurrency_key=key, rate_key=rate_key, **fields)
        return [inserted.id for inserted in self.engine.insert("default", [new] * count)]

    def claim(
        self, limit: int = 100, *, ahead: int = 0, ended: Iterable[int] = (), state: State = State.COMPLETED
    ) -> list[int]:
        """End attempts, claim others, in one transaction; answer whom it got."""
        claims = [self.held.pop(run_id) for run_id in ended]
        with transaction.atomic():
            states = self.engine.settle([ending(claim, state) for claim in claims])
            with self.limiter.turn(["mail"]) as turn:
                turn.free(freed(claims, states))
                claimed = turn.claim("mail", worker=self.name, limit=limit, ahead=ahead, lease_seconds=30)
        self.held |= {claim.id: claim for claim in claimed.claims}
        self.more = claimed.more
        return [claim.id for claim in claimed.claims]

    def end(self, *ids: int, state: State = State.COMPLETED) -> None:
        """End attempts, and claim nothing."""
        claims = [self.held.pop(run_id) for run_id in ids]
        with transaction.atomic():
            states = self.engine.settle([ending(claim, state) for claim in claims])
            with self.limiter.turn(["mail"]) as turn:
                turn.free(freed(claims, states))

    def release(self, *ids: int) -> None:
        claims = [self.held.pop(run_id) for run_id in ids]
        self.limiter.free(freed(claims, self.engine.release([claim.ref for claim in claims])))

    def lose(self, *ids: int) -> None:
        """Let the worker of these vanish."""
        for run_id in ids:
            del self.held[run_id]
        Run.objects.filter(pk__in=ids).update(lease_until=timezone.now() - timedelta(minutes=1))


def ending(claim: Claim, state: State) -> Settlement:
    """How an attempt ends whose run is to be in *state*."""
    match state:
        case State.PENDING:
            return Settlement(claim.ref, outcome=Outcome.RETRIED, state=state, counter="failures")
        case State.COMPLETED:
            return Settlement(claim.ref, outcome=Outcome.COMPLETED, state=state, reason=Reason.RETURNED)
        case State.FAILED:
            return Settlement(claim.ref, outcome=Outcome.FAILED, state=state, reason=Reason.JOB_FAILED)
        case _:
            return Settlement(claim.ref, outcome=Outcome.DEAD_LETTERED, state=state, reason=Reason.MAX_ATTEMPTS)


def freed(claims: Sequence[Claim], states: dict[Any, State]) -> list[Freed]:
    return [
        Freed(claim.queue, claim.job, claim.concurrency_key, states[claim.ref])
        for claim in claims
        if claim.ref in states
    ]


def reap(office: Office, *, delay_seconds: float = 60.0) -> None:
    """Take runs whose lease is over away from their workers, and call those who waited."""

    def give_back(lost: LostRun) -> Settlement:
        return Settlement(
            lost.ref, outcome=Outcome.CRASHED, state=State.PENDING, counter="crashes", delay_seconds=delay_seconds
        )

    reaped = endings.reap(office.engine, "default", give_back)
    office.limiter.free([Freed(lost.queue, lost.job, lost.concurrency_key, state) for lost, state in reaped])


@contextmanager
def undone() -> Iterator[None]:
    """Undo at the end of the block what is done in it."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def parked() -> dict[int, str]:
    """Who is parked, and on what."""
    return {run.pk: str(run.blocked_on) for run in Run.objects.filter(blocked_on__isnull=False)}


@pytest.fixture(autouse=True)
def new_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "__dict__", vars(JobRegistry()))


@pytest.fixture(autouse=True)
def no_claim_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor sets bounds therefore, however busy the machine."""
    monkeypatch.setattr(bounds, "SLOW_SECONDS", inf)


@pytest.fixture
def configure(settings: Settings) -> Configure:
    """Declare queue ``mail`` with options, and the jobs ``send``, ``post`` and others of it with theirs."""

    def configure(*, jobs: dict[str, dict[str, Any]] | None = None, **options: Any) -> None:
        settings.JOBQUEUE = {"queues": {"mail": options}}
        for name in {"send", "post", *(jobs or {})}:
            job(queue="mail", name=name, **(jobs or {}).get(name, {}))(work)

    return configure
