"""``manage.py check`` tells every mistake at once, and says what to write instead."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from django.core import checks
from django.db import connection, connections
from django.test import override_settings
from pytest_django import Settings

import django_jobqueue.checks  # noqa: F401  (registers the checks)
from django_jobqueue import job
from django_jobqueue.jobs import JobRegistry, registry

WAL = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"
RIGHT = {"init_command": WAL, "transaction_mode": "IMMEDIATE", "timeout": 20}


@pytest.fixture(autouse=True)
def no_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "__dict__", vars(JobRegistry()))


@pytest.fixture(autouse=True)
def right_settings(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}}}


def found() -> list[checks.CheckMessage]:
    return checks.run_checks(tags=["jobqueue"])


def found_with(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> list[checks.CheckMessage]:
    """What is found where the database has these OPTIONS."""
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    return found()


def send() -> None:
    """A job as it should be."""


def test_right_settings_pass() -> None:
    job(queue="mail")(send)

    assert found() == []


def test_every_problem_of_the_settings_is_an_error_of_its_own_and_silences_all_else(settings: Settings) -> None:
    settings.USE_TZ = False
    job(queue="nowhere")(send)
    settings.JOBQUEUE = {"queus": {}, "namespace": "", "worker": {"concurrency": 0}}

    messages = found()

    assert [message.id for message in messages] == ["jobqueue.E001"] * 3
    assert all(message.level == checks.ERROR and message.hint for message in messages)
    assert messages[0].msg == "JOBQUEUE: unknown option 'queus'. Did you mean 'queues'?"
    assert messages[2].msg == 'JOBQUEUE["worker"]["concurrency"]: must be a whole number from 1 to 1000, got 0'


# --- Keys ------------------------------------------------------------------------------------------------------------

KEYS = {"concurrency_key": "customer", "rate_key": "customer"}
LIMITS = {"concurrent_jobs_per_key": 2, "rate_limit": "5/m"}


def deliver(customer: str) -> None:
    """A job with something to count by."""


@pytest.mark.parametrize(
    ("queue", "options", "told"),
    [
        ({}, KEYS, {("Job 'deliver' of queue 'mail'", key) for key in KEYS}),
        (KEYS, {}, {("Queue 'mail'", key) for key in KEYS}),
        ({"rate_limit": "5/m"}, {"rate_key": "customer"}, {("Job 'deliver' of queue 'mail'", "rate_key")}),
        ({}, KEYS | LIMITS, set()),
        (KEYS, LIMITS, set()),
        (KEYS | LIMITS, {}, set()),
        (LIMITS | {"rate_key": "customer"}, KEYS, set()),
        (LIMITS, {}, set()),
    ],
    ids=[
        "job",
        "queue",
        "rate of the queue",
        "both at the job",
        "limit at the job",
        "both at the queue",
        "limit at the queue",
        "no key",
    ],
)
def test_a_key_that_no_limit_counts_by_is_told(
    settings: Settings, queue: dict[str, Any], options: dict[str, Any], told: set[tuple[str, str]]
) -> None:
    settings.JOBQUEUE = {"queues": {"mail": queue}}
    job(queue="mail", **options)(deliver)
    if options or not queue.keys() & KEYS.keys():
        job(queue="mail")(send)  # which has no key of its own

    messages = found()

    limits = dict(zip(KEYS, LIMITS, strict=True))
    assert {message.msg for message in messages} == {
        f"{place} declares {key}, but no {limits[key]} counts by it." for place, key in told
    }
    assert all(message.id == "jobqueue.W005" and "Declare" in str(message.hint) for message in messages)


@pytest.mark.parametrize(
    ("queue", "options", "told"),
    [
        ({"concurrency_key": "custmer"}, {}, "concurrency_key: there is no 'custmer'"),
        ({"rate_key": "custmer"}, {}, "rate_key: there is no 'custmer'"),
        ({"secret": ["custmer"]}, {}, "secret: there is no 'custmer'"),
        ({"concurrency_key": "customer"}, {}, None),
        ({"concurrency_key": "of.custmer"}, {"concurrency_key": "customer"}, None),
        ({"secret": ["custmer"]}, {"secret": ["customer"]}, None),
    ],
    ids=["concurrency key", "rate key", "secret", "one job has it", "a function", "no job gets it"],
)
def test_a_field_that_a_queue_names_and_no_job_of_it_has_is_told(
    settings: Settings, queue: dict[str, Any], options: dict[str, Any], told: str | None
) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"concurrent_jobs_per_key": 1, "rate_limit": "5/m", **queue}}}
    job(queue="mail", **options)(deliver)
    if not options:
        job(queue="mail")(send)

    messages = found()

    assert [(message.id, message.msg) for message in messages] == (
        [("jobqueue.W006", f"Queue 'mail': {told} in the payload of any of its jobs. Did you mean 'customer'?")]
        if told
        else []
    )


# --- Jobs ------------------------------------------------------------------------------------------------------------


def test_every_job_that_cannot_work_is_an_error_of_its_own() -> None:
    job(queue="mial")(send)
    job(queue="mail", max_atempts=5)(send)

    messages = found()

    assert [message.id for message in messages] == ["jobqueue.E002"] * 2
    assert all(message.level == checks.ERROR and message.hint for message in messages)
    assert "'mial', which is not a queue. Did you mean 'mail'?" in messages[0].msg
    assert messages[1].msg == f"@job {__name__}.send: unknown option 'max_atempts'. Did you mean 'max_attempts'?"


def nested() -> Callable[[], None]:
    def inner() -> None: ...

    return inner


@pytest.mark.parametrize(("function", "path"), [(nested(), "nested.<locals>.inner"), (lambda: None, "<lambda>")])
def test_a_job_that_cannot_be_imported_by_its_name_is_an_error(function: Callable[[], None], path: str) -> None:
    job(queue="mail", name="send")(function)

    [message] = found()

    assert message.id == "jobqueue.E002"
    assert message.level == checks.ERROR
    assert message.msg == f"Job 'send' of queue 'mail' is {__name__}.{path}, which cannot be imported by that name."
    assert message.hint is not None
    assert "top of its module" in message.hint


def test_a_decorated_job_at_the_top_of_its_module_passes() -> None:
    @functools.wraps(send)
    def wrapper() -> None:
        send()

    job(queue="mail")(wrapper)

    assert found() == []


def test_a_nested_function_passes_where_a_dotted_path_leads_to_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("letters")
    vars(module)["send"] = nested()
    monkeypatch.setitem(sys.modules, "letters", module)

    settings.JOBQUEUE = {"queues": {"mail": {"jobs": {"send": "letters.send"}}}}

    assert found() == []


# --- The database ----------------------------------------------------------------------------------------------------


def test_a_database_without_an_engine_is_an_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = {"default": {}, "oracle": {"ENGINE": "django.db.backends.dummy"}}
    monkeypatch.setitem(connections.settings, "oracle", connections.configure_settings(bare)["oracle"])
    settings.JOBQUEUE = {"database": "oracle"}

    [message] = found()

    assert message.id == "jobqueue.E003"
    assert message.msg == "Database 'oracle' is unknown; runs can be kept in mysql, postgresql or sqlite."


@pytest.mark.sqlite
def test_a_plain_sqlite_is_told_what_it_lacks_and_what_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = found_with(monkeypatch, {})

    assert [message.id for message in messages] == ["jobqueue.W001"] * 2
    assert [message.level for message in messages] == [checks.WARNING] * 2
    assert messages[0].msg.startswith("Database 'default' is SQLite without WAL")
    assert messages[1].msg.startswith("Database 'default' is SQLite without transaction_mode \"IMMEDIATE\"")
    right = {"init_command": WAL, "transaction_mode": "IMMEDIATE"}
    assert {message.hint for message in messages} == {f'Set DATABASES["default"]["OPTIONS"] = {right!r}'}
    assert found_with(monkeypatch, right) == []


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("init_command", None, "WAL"),
        ("init_command", "PRAGMA synchronous = NORMAL", "WAL"),
        ("init_command", "PRAGMA journal_mode = DELETE; PRAGMA wal_checkpoint", "WAL"),
        ("transaction_mode", None, "transaction_mode"),
        ("transaction_mode", "DEFERRED", "transaction_mode"),
        ("timeout", 4.9, "timeout of 4.9 s"),
        ("timeout", 0, "timeout of 0 s"),
    ],
)
def test_each_missing_option_of_sqlite_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, option: str, value: Any, word: str
) -> None:
    [message] = found_with(monkeypatch, RIGHT | {option: value})

    assert message.id == "jobqueue.W001"
    assert word in message.msg


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "options",
    [
        RIGHT | {"init_command": "pragma JOURNAL_MODE=wal;"},
        RIGHT | {"init_command": "PRAGMA foreign_keys = ON; PRAGMA journal_mode('WAL')"},
        RIGHT | {"transaction_mode": "immediate"},
        RIGHT | {"transaction_mode": "EXCLUSIVE"},
        RIGHT | {"timeout": 5},
        {"init_command": WAL, "transaction_mode": "IMMEDIATE"},  # Python waits five seconds by default
    ],
)
def test_there_are_several_ways_to_set_sqlite_up(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    assert found_with(monkeypatch, options) == []


@pytest.mark.sqlite
def test_what_to_write_for_sqlite_keeps_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"init_command": "PRAGMA foreign_keys = ON;", "timeout": 1, "cached_statements": 50}

    hints = {message.hint for message in found_with(monkeypatch, own)}

    init_command = f"PRAGMA foreign_keys = ON; {WAL}"
    right = {"init_command": init_command, "timeout": 20, "cached_statements": 50, "transaction_mode": "IMMEDIATE"}
    assert hints == {f'Set DATABASES["default"]["OPTIONS"] = {right!r}'}


def test_a_database_that_holds_none_of_our_tables_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = {"default": {}, "archive": {"ENGINE": "django.db.backends.sqlite3"}}
    monkeypatch.setitem(connections.settings, "archive", connections.configure_settings(bare)["archive"])

    assert found() == []


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("pool", "size", "right"),
    [
        (True, 4, {"max_size": 12}),
        ({"min_size": 2}, 2, {"min_size": 2, "max_size": 12}),
        ({"min_size": 2, "max_size": 11, "timeout": 5}, 11, {"min_size": 2, "max_size": 12, "timeout": 5}),
    ],
)
def test_a_pool_that_is_smaller_than_a_worker_is_a_warning(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, pool: Any, size: int, right: Any
) -> None:
    settings.JOBQUEUE = {"worker": {"concurrency": 10}}

    [message] = found_with(monkeypatch, {"pool": pool})

    assert message.id == "jobqueue.W003"
    assert message.level == checks.WARNING
    assert message.msg.startswith(
        f"The pool of database 'default' holds {size} connections, but a worker that runs 10 attempts"
    )
    assert message.hint is not None
    assert message.hint.startswith(f'Set DATABASES["default"]["OPTIONS"]["pool"] = {right!r}, or lower')
    assert found_with(monkeypatch, {"pool": right}) == []


@pytest.mark.postgresql
@pytest.mark.parametrize("options", [{}, {"pool": False}, {"pool": {"min_size": 10}}, {"pool": {"max_size": 10}}])
def test_no_pool_or_one_that_is_large_enough_passes(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    assert found_with(monkeypatch, options) == []


@pytest.mark.postgresql
def test_a_new_connection_for_every_request_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)

    assert found() == []


ELSEWHERE = [
    {"isolation_level": 3},
    {"isolation_level": 4},
    {"options": "-c default_transaction_isolation=serializable"},
]


@pytest.mark.postgresql
@pytest.mark.parametrize("options", ELSEWHERE)
def test_an_isolation_in_which_limits_are_not_exact_is_an_error(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    [message] = found_with(monkeypatch, options)

    assert message.id == "jobqueue.E005"
    assert message.level == checks.ERROR
    assert "an isolation level other than READ COMMITTED" in message.msg
    assert message.hint is not None
    assert message.hint.startswith('Set no isolation level in DATABASES["default"]["OPTIONS"]')


@pytest.mark.postgresql
@pytest.mark.parametrize("options", [{"isolation_level": 2}, {"options": "-c statement_timeout=1000"}])
def test_any_other_option_is_none_of_our_business(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    assert found_with(monkeypatch, options) == []


# --- Atomic jobs -----------------------------------------------------------------------------------------------------


async def send_soon() -> None:
    """A job as it should be, but for a transaction."""


@pytest.mark.parametrize(
    ("function", "options", "told"),
    [
        (
            send_soon,
            {},
            "atomic needs a plain function, for Django has no transactions in async code: def, not async def.",
        ),
        (
            send,
            {"delivery": "at_most_once"},
            "atomic undoes an attempt that was cut off, to start it again, and delivery 'at_most_once' forbids that.",
        ),
    ],
    ids=["async", "at most once"],
)
def test_a_job_that_cannot_be_atomic_is_an_error(
    function: Callable[[], Any], options: dict[str, Any], told: str
) -> None:
    job(queue="mail", atomic=True, **options)(function)

    [message] = found()

    assert message.id == "jobqueue.E002"
    assert message.msg == f"Job {function.__name__!r} of queue 'mail' ({__name__}.{function.__name__}): {told}"


class ToArchive:
    """A router that sends what is written elsewhere."""

    def db_for_write(self, model: type, **hints: object) -> str | None:
        return "archive" if model.__module__.startswith("django.contrib.auth") else None


@pytest.mark.parametrize("routers", [[], [ToArchive()]], ids=["no router", "a router for others"])
def test_an_atomic_job_whose_data_is_in_another_database_is_an_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, routers: list[object]
) -> None:
    monkeypatch.setitem(connections.settings, "jobs", connections.settings["default"])
    settings.DATABASE_ROUTERS = routers
    settings.JOBQUEUE = {"database": "jobs", "queues": {"mail": {"atomic": True}}}
    job(queue="mail")(send)

    message = found()[0]

    assert message.id == "jobqueue.E006"
    assert message.level == checks.ERROR
    assert message.msg.startswith("The runs are in database 'jobs', but all models of the project are written to ")
    assert message.msg.endswith("The atomic jobs are mail.send.")
    assert (
        message.hint == 'Set JOBQUEUE["database"] to the alias that these jobs write to, or remove their option atomic.'
    )


def test_an_atomic_job_passes_where_a_router_leads_to_the_database_of_its_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.settings, "archive", connections.settings["default"])
    settings.DATABASE_ROUTERS = [ToArchive()]
    settings.JOBQUEUE = {"database": "archive", "queues": {"mail": {}}}
    job(queue="mail", atomic=True)(send)

    assert [message.id for message in found()] == (["jobqueue.W004"] if connection.vendor == "sqlite" else [])


@pytest.mark.sqlite
def test_atomic_jobs_on_sqlite_are_a_warning() -> None:
    for number in range(7):
        job(queue="mail", name=f"send_{number}", atomic=True)(send)

    [message] = found()

    assert message.id == "jobqueue.W004"
    assert message.level == checks.WARNING
    assert message.msg == (
        "Database 'default' is SQLite: while an atomic job runs, nobody else can write, neither the project nor any worker. "
        "The atomic jobs are mail.send_0, mail.send_1, mail.send_2, mail.send_3, mail.send_4, ..."
    )


# --- The clock -------------------------------------------------------------------------------------------------------


def test_local_time_is_a_warning() -> None:
    with override_settings(USE_TZ=False):
        [message] = found()

    assert message.id == "jobqueue.W002"
    assert message.level == checks.WARNING
    assert message.hint == "Set USE_TZ = True."


# --- The admin -------------------------------------------------------------------------------------------------------


def test_an_admin_that_is_missing_is_mentioned(settings: Settings) -> None:
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django.contrib.admin"]

    [message] = found()

    assert message.id == "jobqueue.I001"
    assert message.level == checks.INFO
    assert message.hint is not None
    assert '"django.contrib.admin"' in message.hint
