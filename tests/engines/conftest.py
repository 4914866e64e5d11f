from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from django.utils import timezone

from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Claim, Engine, NewRun
from django_jobqueue.models import Run
from tests.racing import Race, racing

MakeRun: TypeAlias = Callable[..., int]
Take: TypeAlias = Callable[..., Claim]
Expire: TypeAlias = Callable[[Claim], None]
RequestCancel: TypeAlias = Callable[[Claim], None]
Row: TypeAlias = Callable[[int], Run]
Table: TypeAlias = "Callable[[], list[dict[str, Any]]]"

NOT_IN_NEW_RUN = {"blocked_on"}


@pytest.fixture
def engine() -> Engine:
    return engine_for("default")


@pytest.fixture
def make_run(engine: Engine) -> MakeRun:
    """Insert one run, of queue ``mail`` where nothing else is said, and return its id."""

    def make_run(namespace: str = "default", **fields: Any) -> int:
        later = {name: fields.pop(name) for name in NOT_IN_NEW_RUN & fields.keys()}
        [inserted] = engine.insert(namespace, [NewRun(**({"queue": "mail", "job": "send"} | fields))])
        if later:
            Run.objects.filter(pk=inserted.id).update(**later)
        return inserted.id

    return make_run


@pytest.fixture
def take(engine: Engine) -> Take:
    """Claim the next run of queue ``mail``."""

    def take(worker: str = "worker-a", lease_seconds: float = 30) -> Claim:
        [claim] = engine.claim("default", "mail", worker=worker, limit=1, lease_seconds=lease_seconds)
        return claim

    return take


@pytest.fixture
def expire() -> Expire:
    """Let the lease of a claim have ended a minute ago."""

    def expire(claim: Claim) -> None:
        Run.objects.filter(pk=claim.id).update(lease_until=timezone.now() - timedelta(minutes=1))

    return expire


@pytest.fixture
def request_cancel() -> RequestCancel:
    """Ask for the cancelling of a running run."""

    def request_cancel(claim: Claim) -> None:
        Run.objects.filter(pk=claim.id).update(cancel_requested_at=timezone.now())

    return request_cancel


@pytest.fixture
def row() -> Row:
    return lambda run_id: Run.objects.get(pk=run_id)


@pytest.fixture
def table() -> Table:
    """All runs, with all their columns."""
    return lambda: [dict(row) for row in Run.objects.order_by("id").values()]


@pytest.fixture
def race() -> Iterator[Race]:
    """Call a function in four threads at the same moment, each with its number and its own connection."""
    with racing(4) as race:
        yield race
