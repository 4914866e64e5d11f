"""``add()`` writes exactly the run that it returns, for every option and every payload."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from datetime import timezone as fixed_offset
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import override_settings
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from hypothesis import example, given
from hypothesis import strategies as st
from pytest_django import Settings

from django_jobqueue import job, queues
from django_jobqueue.errors import InvalidRun, PayloadError
from django_jobqueue.models import Run
from django_jobqueue.queue import Queue
from tests.front.conftest import Columns, send

pytestmark = pytest.mark.django_db

NEW_YEAR = datetime(2031, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def far() -> datetime:
    """Almost as far as a run may be asked for."""
    return timezone.now() + timedelta(days=3652)


# --- What comes back -------------------------------------------------------------------------------------------------


def test_a_run_starts_pending_and_due_at_once(mail: Queue) -> None:
    before = timezone.now()

    run = mail.add(job="send", payload={"to": "n1"})

    assert (run.namespace, run.queue, run.job, run.payload) == ("default", "mail", "send", {"to": "n1"})
    assert (run.state, run.reason, run.attempt, run.priority, run.max_attempts) == ("pending", None, 0, 0, None)
    assert before - 5 * SECOND < run.created_at == run.run_at < timezone.now() + 5 * SECOND
    assert run.added is True


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"payload": {"to": "n1", "subject": "é 🎉", "more": [1, {"a": None}]}},
        {"next_run_at": NEW_YEAR},
        {"delay_seconds": 0.25},
        {"priority": -7},
        {"max_attempts": 9},
        {"timeout_seconds": 0.5},
        {"expires_at": NEW_YEAR},
        {"concurrency_key": "acme", "rate_key": 7},
        {"tags": ["a", "é"]},
        {"tenant": "acme", "user": 7, "trace_id": "4bf92f3577b34da6"},
        {"metadata": {"ip": "::1", "more": [1, {"a": None}]}},
        {"payload": {"to": "n1"}, "next_run_at": NEW_YEAR, "priority": 5, "max_attempts": 1},
    ],
)
def test_what_comes_back_is_what_is_in_the_table(mail: Queue, columns: Columns, options: dict[str, Any]) -> None:
    run = mail.add("send", **options)

    stored = Run.objects.get()
    assert columns(run) == columns(stored)
    assert run == stored
    assert run._state.db == stored._state.db
    assert run._state.adding is False


def test_what_comes_back_can_be_refreshed(mail: Queue, columns: Columns) -> None:
    run = mail.add("send", {"to": "n1"}, delay_seconds=60)
    before = columns(run)

    run.refresh_from_db()

    assert columns(run) == before


# --- When ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "next_run_at",
    [
        NEW_YEAR,
        NEW_YEAR.astimezone(ZoneInfo("Asia/Kathmandu")),
        NEW_YEAR.astimezone(ZoneInfo("America/St_Johns")),
        NEW_YEAR.astimezone(fixed_offset(timedelta(hours=-11))),
        "2031-01-01T00:00:00Z",
        "2031-01-01 00:00:00+00:00",
        "2031-01-01T05:45+05:45",
        "2030-12-31T20:30:00.000000-03:30",
        "20310101T000000Z",
    ],
)
def test_a_moment_may_be_said_in_any_zone_and_as_text(mail: Queue, next_run_at: Any) -> None:
    run = mail.add("send", next_run_at=next_run_at)

    assert run.run_at == Run.objects.get().run_at == NEW_YEAR


def test_a_moment_keeps_its_microseconds(mail: Queue) -> None:
    moment = NEW_YEAR + timedelta(microseconds=1)

    assert mail.add("send", next_run_at=moment).run_at == Run.objects.get().run_at == moment


@pytest.mark.parametrize("next_run_at", ["now", None])
def test_now_is_now_by_the_clock_of_the_database(mail: Queue, next_run_at: str | None) -> None:
    run = mail.add("send", next_run_at=next_run_at)

    assert run.run_at == run.created_at


def test_a_moment_may_have_passed(mail: Queue) -> None:
    moment = timezone.now() - timedelta(days=3652)

    assert mail.add("send", next_run_at=moment).run_at == moment


def test_a_moment_may_be_almost_ten_years_away(mail: Queue) -> None:
    moment = far()

    assert mail.add("send", next_run_at=moment).run_at == moment


@pytest.mark.parametrize("delay_seconds", [0, 0.0, 1, 0.25, 90.5, 3652 * 86400])
def test_a_delay_is_counted_from_now(mail: Queue, delay_seconds: float) -> None:
    run = mail.add("send", delay_seconds=delay_seconds)

    assert run.run_at - run.created_at == timedelta(seconds=delay_seconds)
    assert Run.objects.get().run_at == run.run_at


@pytest.fixture
def local_time() -> Iterator[ZoneInfo]:
    """A project without time zones, somewhere on earth."""
    with override_settings(USE_TZ=False, TIME_ZONE="Asia/Kathmandu"):
        yield ZoneInfo("Asia/Kathmandu")


def test_without_time_zones_a_naive_moment_is_local(mail: Queue, columns: Columns, local_time: ZoneInfo) -> None:
    run = mail.add("send", next_run_at=datetime(2031, 1, 1, 5, 45))  # noqa: DTZ001

    assert run.run_at == datetime(2031, 1, 1, 5, 45)  # noqa: DTZ001
    assert columns(run) == columns(Run.objects.get())


@pytest.mark.parametrize("next_run_at", [NEW_YEAR, "2031-01-01T00:00:00Z", "2031-01-01T05:45:00"])
def test_without_time_zones_an_aware_moment_becomes_local(mail: Queue, local_time: ZoneInfo, next_run_at: Any) -> None:
    run = mail.add("send", next_run_at=next_run_at)

    assert run.run_at == Run.objects.get().run_at == datetime(2031, 1, 1, 5, 45)  # noqa: DTZ001


def test_without_time_zones_now_and_delays_are_right(mail: Queue, columns: Columns, local_time: ZoneInfo) -> None:
    before = datetime.now(local_time).replace(tzinfo=None)
    run = mail.add("send", delay_seconds=90)

    assert run.run_at - run.created_at == 90 * SECOND
    assert before - 5 * SECOND < run.created_at < datetime.now(local_time).replace(tzinfo=None) + 5 * SECOND
    assert columns(run) == columns(Run.objects.get())


@pytest.mark.postgresql
@pytest.mark.parametrize("next_run_at", [NEW_YEAR, datetime(2031, 1, 1, 5, 45)])  # noqa: DTZ001
def test_a_project_without_time_zones_writes_moments_that_others_understand(
    mail: Queue, local_time: ZoneInfo, next_run_at: datetime
) -> None:
    mail.add("send", next_run_at=next_run_at)

    with override_settings(USE_TZ=True):
        assert Run.objects.get().run_at == NEW_YEAR


# --- Expiry ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expires_at", [NEW_YEAR, "2031-01-01T05:45:00+05:45"])
def test_a_run_may_expire(mail: Queue, expires_at: Any) -> None:
    assert mail.add("send", expires_at=expires_at).expires_at == Run.objects.get().expires_at == NEW_YEAR


def test_by_default_a_run_waits_for_ever(mail: Queue) -> None:
    assert mail.add("send").expires_at is None


@pytest.mark.parametrize("when", [{}, {"delay_seconds": 60}, {"next_run_at": NEW_YEAR}])
def test_the_runs_of_a_job_expire_so_long_after_they_are_due(mail: Queue, when: dict[str, Any]) -> None:
    job(queue="mail", name="brief", expires_after_seconds=90)(send)

    run = mail.add("brief", **when)

    assert run.expires_at == run.run_at + 90 * SECOND == Run.objects.get().expires_at


def test_the_expiry_of_a_run_wins_over_that_of_its_job(mail: Queue) -> None:
    job(queue="mail", name="brief", expires_after_seconds=90)(send)

    assert mail.add("brief", expires_at=NEW_YEAR).expires_at == NEW_YEAR


def test_without_time_zones_an_expiry_is_local(mail: Queue, columns: Columns, local_time: ZoneInfo) -> None:
    job(queue="mail", name="brief", expires_after_seconds=90)(send)

    run = mail.add("send", expires_at=datetime(2031, 1, 1, 5, 45))  # noqa: DTZ001
    brief = mail.add("brief")

    assert run.expires_at == datetime(2031, 1, 1, 5, 45)  # noqa: DTZ001
    assert brief.expires_at == brief.run_at + 90 * SECOND
    assert [columns(run), columns(brief)] == [columns(run) for run in Run.objects.order_by("id")]


# --- Labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_job", "given", "tags"),
    [
        ((), (), None),
        ((), ["b", "a", "b"], ["b", "a"]),
        ((), {"b", "a"}, ["a", "b"]),
        (["x"], (), ["x"]),
        (["x", "y"], ["a", "x"], ["x", "y", "a"]),
    ],
)
def test_a_run_has_the_tags_of_its_job_and_its_own(
    mail: Queue, of_job: list[str], given: Any, tags: list[str] | None
) -> None:
    job(queue="mail", name="tagged", tags=of_job)(send)

    assert mail.add("tagged", tags=given).tags == Run.objects.get().tags == tags


def test_the_tags_of_job_and_run_together_have_a_limit(mail: Queue) -> None:
    job(queue="mail", name="tagged", tags=[f"job-{n}" for n in range(15)])(send)

    assert mail.add("tagged", tags=["job-1", *"abcde"]).tags == [f"job-{n}" for n in range(15)] + [*"abcde"]
    with pytest.raises(InvalidRun, match=r"^tags: with those of the job these are 21, and 20 are allowed\.$"):
        mail.add("tagged", tags=[*"abcdef"])


@pytest.mark.parametrize("argument", ["user", "tenant"])
def test_users_and_tenants_are_kept_by_their_keys_as_text(mail: Queue, argument: str) -> None:
    ada = User.objects.create_user("ada")
    lazy = SimpleLazyObject(lambda: ada)

    ways: list[Any] = [ada, lazy, ada.pk, str(ada.pk)]
    for somebody in ways:
        run = mail.add("send", **{argument: somebody})
        assert getattr(run, argument) == getattr(Run.objects.get(pk=run.pk), argument) == str(ada.pk)


def test_the_user_of_a_request_that_nobody_signed_is_nobody(mail: Queue) -> None:
    assert mail.add("send", user=AnonymousUser()).user is None


def test_changing_the_metadata_afterwards_changes_nothing(mail: Queue) -> None:
    metadata: dict[str, Any] = {"list": [1]}
    run = mail.add("send", metadata=metadata)

    metadata["list"].append(2)

    assert run.metadata == Run.objects.get().metadata == {"list": [1]}


# --- Priority and attempts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("priority", [-100, -1, 0, 1, 100])
def test_a_priority_may_be_given(mail: Queue, priority: int) -> None:
    assert mail.add("send", priority=priority).priority == Run.objects.get().priority == priority


@pytest.mark.parametrize("max_attempts", [1, 2, 1000])
def test_a_number_of_attempts_may_be_given(mail: Queue, max_attempts: int) -> None:
    assert mail.add("send", max_attempts=max_attempts).max_attempts == Run.objects.get().max_attempts == max_attempts


def test_the_priority_of_the_job_is_the_default_and_zero_is_a_priority(mail: Queue) -> None:
    urgent = job(queue="mail", name="urgent", priority=50)(send)

    assert urgent.add().priority == 50
    assert urgent.add(priority=0).priority == 0


def test_the_attempts_of_the_job_stay_out_of_the_run_so_that_a_release_may_change_them(mail: Queue) -> None:
    assert job(queue="mail", name="stubborn", max_attempts=50)(send).add().max_attempts is None


def test_the_delivery_of_the_job_goes_with_the_run(mail: Queue) -> None:
    job(queue="mail", name="charge", delivery="at_most_once")(send)

    assert mail.add("send").delivery == "at_least_once"
    assert mail.add("charge").delivery == Run.objects.latest("id").delivery == "at_most_once"


# --- The payload -----------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=15)


def typed(value: object) -> object:
    """*value* with the type of every part, so that 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value).__name__, value


def take_anything(**payload: object) -> None:
    pass


@given(payload=st.dictionaries(TEXT, VALUES))
@example(payload={"subject": None, "self": 1, "payload": 2, "queue": "mail", "job": "send"})
@example(payload={"": 0, "%s": "100 %", "\x7f\u2028\U0001f389": [[], {}, [{"a": [None]}]], "'; --": "\\u0000"})
@example(payload={"floats": [1.0, -0.5, 0.1, 1e15, 5e-324, 1e-7, 1e16, -1e23, 1.7e308, "1e+16"]})
def test_a_payload_comes_back_equal_and_of_the_same_types(payload: dict[str, Any]) -> None:
    with override_settings(JOBQUEUE={"queues": {"mail": {}}}):
        job(queue="mail", name="any")(take_anything)
        run = queues.mail.add("any", payload)

    stored = Run.objects.get(pk=run.pk)
    assert typed(stored.payload) == typed(run.payload) == typed(payload)


@pytest.mark.parametrize("payload", [None, {}])
def test_no_payload_is_an_empty_one(mail: Queue, payload: dict[str, Any] | None) -> None:
    assert mail.add("send", payload).payload == Run.objects.get().payload == {}


def test_the_run_that_comes_back_has_lists_where_tuples_were_given(mail: Queue) -> None:
    run = mail.add("send", {"pair": (1, (2, 3))})

    assert Run.objects.get().payload == {"pair": [1, [2, 3]]}
    assert run.payload == {"pair": [1, [2, 3]]}


def test_changing_the_mapping_afterwards_changes_nothing(mail: Queue) -> None:
    payload: dict[str, Any] = {"to": "n1", "list": [1]}
    run = mail.add("send", payload)

    payload["to"] = "n2"
    payload["list"].append(2)

    assert Run.objects.get().payload == {"to": "n1", "list": [1]}
    assert run.payload["to"] == "n1"


def test_changing_what_is_in_the_mapping_does_not_change_the_run_that_came_back(mail: Queue) -> None:
    payload: dict[str, Any] = {"list": [1]}
    run = mail.add("send", payload)

    payload["list"].append(2)

    assert run.payload == {"list": [1]}


def test_a_payload_may_take_all_of_the_allowed_bytes_and_no_more(mail: Queue, settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}}, "payload_max_bytes": 100}
    largest = {"to": "x" * (100 - len('{"to":""}'))}

    assert mail.add("send", largest).payload == largest
    with pytest.raises(PayloadError, match="takes 101 bytes"):
        mail.add("send", {"to": largest["to"] + "x"})


def test_a_large_payload_fits(mail: Queue) -> None:
    payload = {"to": "é" * 130_000}

    mail.add("send", payload)

    assert Run.objects.get().payload == payload


def test_infinity_is_no_float_that_json_has(mail: Queue) -> None:
    with pytest.raises(PayloadError, match=r'^payload\["to"\]: Infinity is not JSON'):
        mail.add("send", {"to": math.inf})
