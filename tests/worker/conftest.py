from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from django.db import connection
from django.db.backends.signals import connection_created
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Claim, Engine
from django_jobqueue.jobs import JobRegistry, registry
from django_jobqueue.models import Run
from django_jobqueue.worker import heartbeat, hold
from tests.worker.bench import Gate, Recorder, WorkerThread, join_threads

Work: TypeAlias = Callable[..., int]
StartWorker: TypeAlias = Callable[..., WorkerThread]
Lose: TypeAlias = Callable[..., Claim]
Refuse: TypeAlias = Callable[[str], None]
OnConnect: TypeAlias = Callable[[Callable[[Any], None]], None]
Wrapper: TypeAlias = Callable[[Any, str, Any, bool, Any], Any]
AroundStatements: TypeAlias = Callable[[Wrapper], None]


@pytest.fixture(autouse=True)
def project(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test declare jobs of its own with ``@job``, in a queue that is looked at often."""
    monkeypatch.setattr(registry, "__dict__", JobRegistry().__dict__)
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.05}}


@pytest.fixture(autouse=True)
def no_outages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reapers take a machine that stalls for seconds neither for an outage nor for a jump of the clock."""
    for limit in ("OUTAGE_SECONDS", "OUTAGE_LEASES", "JUMP_SECONDS"):
        monkeypatch.setattr(hold, limit, 3600.0)


@pytest.fixture
def quick_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three heartbeats a second, for leases that outlast any stall of the machine."""
    monkeypatch.setattr(heartbeat, "BEATS_PER_LEASE", 90)


@pytest.fixture
def observer() -> Recorder:
    return Recorder()


@pytest.fixture
def start_worker(observer: Recorder) -> StartWorker:
    """Make a worker for a ``with`` block; of queue ``default`` where nothing else is said."""

    def start_worker(*queues: str, observer: Recorder = observer, **options: Any) -> WorkerThread:
        return WorkerThread(queues or ["default"], observer, **options)

    return start_worker


@pytest.fixture
def work(start_worker: StartWorker) -> Work:
    """Work until nothing can be claimed any more; return the exit code."""

    def work(*queues: str, **options: Any) -> int:
        with start_worker(*queues, drain=True, **options) as worker:
            return worker.wait()

    return work


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate for jobs. In the end it is opened, and the threads of the jobs may end."""
    gate = Gate()
    yield gate
    gate.open()
    join_threads()


@pytest.fixture
def engine() -> Engine:
    return engine_for("default")


@pytest.fixture
def lose(engine: Engine) -> Lose:
    """Let a worker that is not there have claimed the next run a while ago."""

    def lose(queue: str = "default", *, worker: str = "gone:1:a") -> Claim:
        [claim] = engine.claim("default", queue, worker=worker, limit=1, lease_seconds=30)
        end_lease(claim.id)
        return claim

    return lose


@pytest.fixture
def on_connect() -> Iterator[OnConnect]:
    """Call functions with each database connection that is made from now on."""
    receivers: list[Callable[..., None]] = []

    def on_connect(function: Callable[[Any], None]) -> None:
        def receive(connection: Any, **_: Any) -> None:
            function(connection)

        receivers.append(receive)
        connection_created.connect(receive, weak=False)

    yield on_connect
    for receive in receivers:
        connection_created.disconnect(receive)


@pytest.fixture
def around_statements(on_connect: OnConnect) -> AroundStatements:
    """Wrap the statements of a worker's main thread, as ``execute_wrappers`` of Django does."""

    def around_statements(wrapper: Wrapper) -> None:
        def wrap(connection: Any) -> None:
            if threading.current_thread().name.startswith("test-worker-"):
                connection.execute_wrappers.append(wrapper)

        on_connect(wrap)

    return around_statements


@pytest.fixture
def refuse() -> Iterator[Refuse]:
    """Let the database refuse all runs that fulfil a condition, as one with rules of its own might. For one condition."""
    names = {"sqlite": ["refused_insert", "refused_update"]}.get(connection.vendor, ["refused"])

    def refuse(condition: str) -> None:
        columns = [field.column for field in Run._meta.concrete_fields]
        row = f"(SELECT {', '.join(f'NEW.{column} AS {column}' for column in columns)})"
        with connection.cursor() as cursor:
            for name in names:
                if connection.vendor == "sqlite":
                    cursor.execute(
                        f"CREATE TRIGGER {name} BEFORE {name.removeprefix('refused_')} ON jobqueue_run"
                        f" WHEN EXISTS (SELECT 1 FROM {row} WHERE {condition}) BEGIN SELECT RAISE(ABORT, 'refused'); END"
                    )
                else:
                    text = "char" if connection.vendor == "mysql" else "text"
                    check = f"NOT ({condition.replace('AS text', f'AS {text}')})"
                    cursor.execute(f"ALTER TABLE jobqueue_run ADD CONSTRAINT {name} CHECK ({check})")

    yield refuse
    with connection.cursor() as cursor:
        for name in names:
            drop = f"DROP TRIGGER IF EXISTS {name}"
            if connection.vendor != "sqlite":
                drop = f"ALTER TABLE jobqueue_run DROP CONSTRAINT IF EXISTS {name}"
            cursor.execute(drop)


def end_lease(run_id: int) -> None:
    """Let the lease of a running run have ended a minute ago."""
    Run.objects.filter(pk=run_id).update(lease_until=timezone.now() - timedelta(minutes=1))
