"""What cannot work is refused at ``add()``: before any statement is sent, so that the caller's transaction goes on."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import SynchronousOnlyOperation
from django.db import transaction
from django.test import override_settings
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from django_jobqueue import RunContext, job, queues
from django_jobqueue.errors import ConfigError, InvalidRun, JobQueueError, PayloadError, UnknownJob, UnknownQueue
from django_jobqueue.models import Run
from django_jobqueue.queue import Queue
from tests.front.conftest import send

pytestmark = pytest.mark.django_db

NAIVE = datetime(2031, 1, 1)  # noqa: DTZ001
PAST = datetime(2020, 1, 1, tzinfo=UTC)


def digest(reader: str, *, limit: int = 10, run: RunContext) -> None:
    """A job with exact parameters."""


@pytest.fixture(autouse=True)
def jobs(mail: Queue) -> None:
    job(queue="mail")(digest)


def refusal(refused: Callable[[], object]) -> JobQueueError:
    """The error that *refused* raises."""
    with pytest.raises(JobQueueError) as caught:
        refused()
    return caught.value


REFUSALS: list[tuple[dict[str, Any], type[JobQueueError], str]] = [
    ({"job": "sned"}, UnknownJob, "'sned' is not a job of queue 'mail'. Did you mean 'send'?"),
    ({"job": "xyz"}, UnknownJob, "'xyz' is not a job of queue 'mail'. Known: digest, send."),
    ({"job": ""}, UnknownJob, "'' is not a job of queue 'mail'. Known: digest, send."),
    ({"job": "os.system"}, UnknownJob, "'os.system' is not a job of queue 'mail'."),
    ({"job": "digest"}, PayloadError, "payload: does not fit digest(). 'reader' is missing."),
    (
        {"job": "digest", "payload": {"reader": "r1", "limt": 5}},
        PayloadError,
        "payload: does not fit digest(). 'limt' is not a parameter. Did you mean 'limit'?",
    ),
    (
        {"job": "digest", "payload": {"raeder": "r1", "run": 1}},
        PayloadError,
        "payload: does not fit digest(). 'reader' is missing. "
        "'raeder' is not a parameter. Did you mean 'reader'? 'run' is filled by the worker, and cannot be in the payload.",
    ),
    ({"payload": [("to", "n1")]}, PayloadError, "payload: must be a mapping of argument names to values, got list."),
    ({"payload": "n1"}, PayloadError, "payload: must be a mapping of argument names to values, got str."),
    ({"payload": {"to": {1, 2}}}, PayloadError, 'payload["to"]: set is not JSON. Pass a sorted list.'),
    (
        {"payload": {"to": [0, {"due": NAIVE}]}},
        PayloadError,
        'payload["to"][1]["due"]: datetime is not JSON. Pass its isoformat().',
    ),
    (
        {"payload": {"to": Group(name="readers")}},
        PayloadError,
        'payload["to"]: Group is not JSON. Pass its .pk, and load it in the job.',
    ),
    ({"payload": {"to": Decimal(1)}}, PayloadError, 'payload["to"]: Decimal is not JSON. Pass it as text: str(value).'),
    ({"payload": {"to": math.nan}}, PayloadError, 'payload["to"]: NaN is not JSON. Pass None, or text.'),
    ({"payload": {"to": "a\0"}}, PayloadError, "payload[\"to\"]: 'a\\x00' contains NUL, which databases refuse."),
    ({"payload": {"to": "\ud800"}}, PayloadError, "payload[\"to\"]: '\\ud800' contains a lone surrogate"),
    ({"payload": {"to": 2**63}}, PayloadError, 'payload["to"]: an integer beyond 64 bits'),
    ({"payload": {1: "n1"}}, PayloadError, "payload: the key 1 is not text."),
    ({"payload": {"to": "x" * 300_000}}, PayloadError, "payload: takes 300009 bytes as JSON, and 262144 are allowed."),
    ({"next_run_at": NAIVE}, InvalidRun, "next_run_at: datetime.datetime(2031, 1, 1, 0, 0) has no time zone."),
    ({"next_run_at": "2031-01-01T00:00:00"}, InvalidRun, "next_run_at: '2031-01-01T00:00:00' has no time zone."),
    ({"next_run_at": "tomorrow"}, InvalidRun, "next_run_at: must be a datetime, ISO-8601 text with date and time"),
    ({"next_run_at": "2031-02-30T00:00:00Z"}, InvalidRun, "next_run_at: must be a datetime, ISO-8601 text"),
    ({"next_run_at": ""}, InvalidRun, "next_run_at: must be a datetime, ISO-8601 text"),
    ({"next_run_at": "NOW"}, InvalidRun, "next_run_at: must be a datetime, ISO-8601 text"),
    ({"next_run_at": date(2031, 1, 1)}, InvalidRun, "next_run_at: must be a datetime, ISO-8601 text"),
    ({"next_run_at": 1924992000}, InvalidRun, "next_run_at: must be a datetime, ISO-8601 text"),
    ({"next_run_at": True}, InvalidRun, "next_run_at: must be a datetime, ISO-8601 text"),
    ({"next_run_at": timedelta(hours=1)}, InvalidRun, "next_run_at: must be a moment, not a timedelta. Use delay_sec"),
    ({"next_run_at": "9999-12-31T23:59:59Z"}, InvalidRun, "next_run_at: '9999-12-31T23:59:59Z' is more than ten years"),
    ({"next_run_at": datetime.min.replace(tzinfo=UTC)}, InvalidRun, "next_run_at: datetime.datetime(1, 1, 1, 0, 0, tz"),
    (
        {"next_run_at": datetime(2131, 1, 1, tzinfo=UTC)},
        InvalidRun,
        "next_run_at: datetime.datetime(2131, 1, 1, 0, 0, tz",
    ),
    ({"delay_seconds": -0.001}, InvalidRun, "delay_seconds: must be from 0 to ten years, got -0.001."),
    ({"delay_seconds": math.inf}, InvalidRun, "delay_seconds: must be from 0 to ten years, got inf."),
    ({"delay_seconds": 3654 * 86400}, InvalidRun, "delay_seconds: must be from 0 to ten years, got 315705600."),
    ({"delay_seconds": math.nan}, InvalidRun, "delay_seconds: must be "),
    ({"delay_seconds": True}, InvalidRun, "delay_seconds: must be a number of seconds, got True."),
    ({"delay_seconds": "60"}, InvalidRun, "delay_seconds: must be a number of seconds, got '60'."),
    (
        {"delay_seconds": timedelta(60)},
        InvalidRun,
        "delay_seconds: must be a number of seconds, got datetime.timedelta(days=60).",
    ),
    ({"delay_seconds": timedelta(1)}, InvalidRun, "delay_seconds: must be a number of seconds, got datetime.timedelta"),
    ({"delay_seconds": 0, "next_run_at": "now"}, InvalidRun, "Give next_run_at or delay_seconds, not both."),
    ({"priority": 101}, InvalidRun, "priority: must be a whole number from -100 to 100, got 101."),
    ({"priority": -101}, InvalidRun, "priority: must be a whole number from -100 to 100, got -101."),
    ({"priority": 2**63}, InvalidRun, "priority: must be a whole number from -100 to 100, got 9223372036854775808."),
    ({"priority": True}, InvalidRun, "priority: must be a whole number from -100 to 100, got True."),
    ({"priority": 1.0}, InvalidRun, "priority: must be a whole number from -100 to 100, got 1.0."),
    ({"priority": "high"}, InvalidRun, "priority: must be a whole number from -100 to 100, got 'high'."),
    ({"max_attempts": 0}, InvalidRun, "max_attempts: must be a whole number from 1 to 1000, got 0."),
    ({"max_attempts": 1001}, InvalidRun, "max_attempts: must be a whole number from 1 to 1000, got 1001."),
    ({"max_attempts": False}, InvalidRun, "max_attempts: must be a whole number from 1 to 1000, got False."),
    ({"max_attempts": 10**9}, InvalidRun, "max_attempts: must be a whole number from 1 to 1000, got 1000000000."),
    ({"timeout_seconds": 0}, InvalidRun, "timeout_seconds: must be a number from 0.1 to 604800, got 0."),
    ({"timeout_seconds": 604801}, InvalidRun, "timeout_seconds: must be a number from 0.1 to 604800, got 604801."),
    ({"timeout_seconds": "30"}, InvalidRun, "timeout_seconds: must be a number from 0.1 to 604800, got '30'."),
    ({"timeout_seconds": float("nan")}, InvalidRun, "timeout_seconds: must be a number from 0.1 to 604800, got nan."),
    (
        {"timeout_seconds": timedelta(1)},
        InvalidRun,
        "timeout_seconds: must be a number from 0.1 to 604800, got datetime",
    ),
    ({"expires_at": NAIVE}, InvalidRun, "expires_at: datetime.datetime(2031, 1, 1, 0, 0) has no time zone."),
    ({"expires_at": "tomorrow"}, InvalidRun, "expires_at: must be a datetime, ISO-8601 text with date and time"),
    ({"expires_at": 60}, InvalidRun, "expires_at: must be a datetime, ISO-8601 text with date and time"),
    ({"expires_at": timedelta(1)}, InvalidRun, "expires_at: must be a moment, not a timedelta."),
    ({"expires_at": "9999-12-31T23:59:59Z"}, InvalidRun, "expires_at: '9999-12-31T23:59:59Z' is more than ten years"),
    ({"expires_at": "now"}, InvalidRun, "expires_at: 'now' is not later than the run is due, so it would never start."),
    ({"expires_at": PAST}, InvalidRun, "expires_at: datetime.datetime(2020, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)"),
    (
        {"expires_at": "2031-01-01T00:00:00Z", "next_run_at": "2031-01-01T00:00:00Z"},
        InvalidRun,
        "expires_at: '2031-01-01T00:00:00Z' is not later than the run is due, so it would never start.",
    ),
    (
        {"expires_at": timezone.now() + timedelta(days=1), "delay_seconds": 86401},
        InvalidRun,
        "expires_at: datetime.datetime(",
    ),
    ({"concurrency_key": ""}, InvalidRun, "concurrency_key: must be text of 1 to 255 printable characters, got ''."),
    ({"rate_key": ["a"]}, InvalidRun, "rate_key: must be text of 1 to 255 printable characters, got ['a']."),
    ({"idempotency_key": ""}, InvalidRun, "idempotency_key: must be text of 1 to 255 printable characters, got ''."),
    ({"idempotency_key": "x" * 256}, InvalidRun, "idempotency_key: must be text of 1 to 255 printable characters, got"),
    ({"idempotency_key": "a\0"}, InvalidRun, "idempotency_key: must be text of 1 to 255 printable characters, got 'a"),
    ({"idempotency_key": 7}, InvalidRun, "idempotency_key: must be text of 1 to 255 printable characters, got 7."),
    ({"tags": "urgent"}, InvalidRun, "tags: must be a list of texts, got 'urgent'."),
    ({"tags": ["a", 5]}, InvalidRun, "tags: must be text of 1 to 64 printable characters, got 5."),
    ({"tags": ["x" * 65]}, InvalidRun, "tags: must be text of 1 to 64 printable characters, got 'xxxx"),
    ({"tags": ["a\0"]}, InvalidRun, "tags: must be text of 1 to 64 printable characters, got 'a\\x00'."),
    ({"tags": ["\ud800"]}, InvalidRun, "tags: must be text of 1 to 64 printable characters, got '\\ud800'."),
    ({"tags": map(str, range(3))}, InvalidRun, "tags: must be a list of texts, got <map object"),
    ({"tags": [str(n) for n in range(21)]}, InvalidRun, "tags: must be a list of at most 20 texts, got ['0', '1',"),
    ({"tenant": ""}, InvalidRun, "tenant: must be text of 1 to 255 printable characters, got ''."),
    ({"tenant": "x" * 256}, InvalidRun, "tenant: must be text of 1 to 255 printable characters, got 'xxxx"),
    ({"tenant": 1.5}, InvalidRun, "tenant: must be text of 1 to 255 printable characters, got 1.5."),
    ({"tenant": True}, InvalidRun, "tenant: must be text of 1 to 255 printable characters, got True."),
    ({"user": Group(name="new")}, InvalidRun, "user: <Group: new> has no primary key yet. Save it first."),
    ({"user": ["ada"]}, InvalidRun, "user: must be text of 1 to 255 printable characters, got ['ada']."),
    ({"user": "a\nb"}, InvalidRun, "user: must be text of 1 to 255 printable characters, got 'a\\nb'."),
    ({"trace_id": "x" * 65}, InvalidRun, "trace_id: must be text of 1 to 64 printable characters, got 'xxxx"),
    ({"trace_id": 5}, InvalidRun, "trace_id: must be text of 1 to 64 printable characters, got 5."),
    ({"metadata": ["a"]}, InvalidRun, "metadata: must be a mapping of names to values, got ['a']."),
    ({"metadata": {"at": NAIVE}}, PayloadError, 'metadata["at"]: datetime is not JSON. Pass its isoformat().'),
    ({"metadata": {1: 2}}, PayloadError, "metadata: the key 1 is not text."),
    ({"metadata": {"a": "x" * 300_000}}, PayloadError, "metadata: takes 300008 bytes as JSON, and 262144 are allowed."),
]


def named(case: object) -> str | None:
    """The name of a case, by what is wrong; the same in every process."""
    if isinstance(case, dict):
        return ",".join(f"{name}={value!r:.30}".partition(" object at")[0] for name, value in case.items())
    return "" if isinstance(case, str) else None


@pytest.mark.parametrize(("arguments", "kind", "message"), REFUSALS, ids=named)
def test_what_cannot_work_is_refused_without_a_statement_to_the_database(
    mail: Queue,
    django_assert_num_queries: DjangoAssertNumQueries,
    arguments: dict[str, Any],
    kind: type[JobQueueError],
    message: str,
) -> None:
    with django_assert_num_queries(0):
        error = refusal(lambda: mail.add(**({"job": "send"} | arguments)))

    assert type(error) is kind
    assert str(error).startswith(message)


def test_a_refusal_leaves_the_transaction_of_the_caller_alone(mail: Queue) -> None:
    with transaction.atomic():
        Group.objects.create(name="before")
        for arguments, _, _ in REFUSALS:
            refusal(lambda arguments=arguments: mail.add(**({"job": "send"} | arguments)))  # type: ignore[misc]
        Group.objects.create(name="after")

    assert Group.objects.count() == 2
    assert not Run.objects.exists()


def test_a_refusal_tells_the_code_that_other_programs_know_it_by() -> None:
    assert refusal(lambda: queues["mial"]).code == "unknown_queue"
    assert refusal(lambda: queues.mail.add("sned")).code == "unknown_job"
    assert refusal(lambda: queues.mail.add("digest")).code == "invalid_payload"
    assert refusal(lambda: queues.mail.add("send", priority=101)).code == "invalid_run"


def test_refusals_are_the_errors_that_python_has_for_such_mistakes(mail: Queue) -> None:
    with pytest.raises(AttributeError):
        queues.mial.add("send")
    with pytest.raises(LookupError):
        mail.add("sned")
    with pytest.raises(ValueError, match="priority"):
        mail.add("send", priority=101)
    with pytest.raises(ValueError, match="payload"):
        mail.add("digest")


def test_an_argument_that_there_is_not_is_refused_as_python_does(mail: Queue) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'prioriti'"):
        mail.add("send", prioriti=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes from 2 to 3 positional arguments"):
        mail.add("send", {}, None)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", [None, 5, ["send"], send], ids=["None", "number", "list", "function"])
def test_a_job_whose_name_is_not_text_is_refused_as_well(mail: Queue, name: Any) -> None:
    with pytest.raises(UnknownJob, match="is not a job of queue 'mail'"):
        mail.add(name)


def test_a_key_beyond_all_integers_is_refused(mail: Queue) -> None:
    with pytest.raises(InvalidRun, match=r"^tenant: must be text of 1 to 255 printable characters, got <int>\.$"):
        mail.add("send", tenant=10**5000)


def test_a_delay_beyond_all_floats_is_refused(mail: Queue) -> None:
    with pytest.raises(InvalidRun, match="delay_seconds: must be from 0 to ten years"):
        mail.add("send", delay_seconds=10**400)


@pytest.mark.parametrize(
    ("zone", "next_run_at"),
    [
        ("Asia/Tokyo", datetime(2131, 1, 1)),  # noqa: DTZ001
        ("Asia/Tokyo", "2131-01-01T00:00:00"),
        ("Asia/Tokyo", "2131-01-01T00:00:00Z"),
        ("Asia/Tokyo", "0001-01-01T00:00:00Z"),
        ("Asia/Tokyo", "9999-12-31T23:59:59Z"),
        ("America/Chicago", "0001-01-01T00:00:00Z"),
    ],
)
def test_without_time_zones_a_moment_that_is_too_far_is_refused(mail: Queue, zone: str, next_run_at: Any) -> None:
    with (
        override_settings(USE_TZ=False, TIME_ZONE=zone),
        pytest.raises(InvalidRun, match="is more than ten years from now"),
    ):
        mail.add("send", next_run_at=next_run_at)


def test_the_horizon_is_ten_years_either_way(mail: Queue) -> None:
    now = timezone.now()

    for days in (-3654, 3654):
        with pytest.raises(InvalidRun, match="is more than ten years from now"):
            mail.add("send", next_run_at=now + timedelta(days=days))


def test_a_long_value_is_cut_in_the_message(mail: Queue) -> None:
    error = refusal(lambda: mail.add("send", next_run_at="x" * 10_000))

    assert len(str(error)) < 250


def test_a_queue_that_has_gone_from_the_settings_refuses(mail: Queue, settings: Settings) -> None:
    declared = job(queue="mail", name="letter")(send)

    settings.JOBQUEUE = {"queues": {"post": {}}}

    with pytest.raises(UnknownQueue, match="'mail' is not a queue"):
        mail.add("send")
    with pytest.raises(UnknownQueue, match="'mail' is not a queue"):
        declared.add()
    with pytest.raises(UnknownQueue, match="'mail' is not a queue"):
        mail.bulk_add([{"job": "send"}])


def test_wrong_settings_refuse_with_all_that_is_wrong(mail: Queue, settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"concurent_jobs": 1}}, "namespace": ""}

    with pytest.raises(ConfigError) as caught:
        mail.add("send")

    assert len(caught.value.problems) == 2


def test_code_that_runs_in_an_event_loop_is_told_to_use_the_async_form_and_nothing_is_written(mail: Queue) -> None:
    async def view() -> None:
        mail.add("send")

    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(view())

    assert not Run.objects.exists()


def test_a_mapping_that_is_not_a_dict_is_a_payload_too(mail: Queue) -> None:
    run = mail.add("send", MappingProxyType({"to": "n1"}))

    assert run.payload == Run.objects.get().payload == {"to": "n1"}
