"""Of a unique job no two runs with the same key are added, as far as its uniqueness reaches."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core import checks
from django.db import transaction
from pytest_django import DjangoAssertNumQueries, Settings

from django_jobqueue import job, queues
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import ConfigError, DuplicateRun, InvalidRun
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from django_jobqueue.operations import RunFilter, replay, replay_many
from django_jobqueue.operations.runs import CHUNK
from django_jobqueue.queue import Queue
from django_jobqueue.states import State
from tests.engines.endings import completed, retried
from tests.front.conftest import Columns, WriteModule, failing_transaction, send, statements
from tests.listening import Listener

pytestmark = pytest.mark.django_db

WINDOW = 366 * 86400
"""The longest that there may be: no test is there when it ends, but for once a year."""


def unique(reach: Any = "live", **options: Any) -> None:
    """Let job ``send`` of queue ``mail`` be unique."""
    job(queue="mail", unique=reach, **options)(send)


def claim() -> Any:
    [claim] = engine_for("default").claim("default", "mail", worker="worker-a", limit=1, lease_seconds=30)
    return claim


def end() -> None:
    engine_for("default").settle([completed(claim().ref)])


# --- The reach -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", ["pending", "live", WINDOW])
def test_a_second_run_is_not_added_and_the_first_comes_back(mail: Queue, columns: Columns, reach: Any) -> None:
    unique(reach)
    first = mail.add("send", {"to": "n1"})

    second = mail.add("send", {"to": "n1"}, priority=5)

    assert (first.added, second.added) == (True, False)
    assert columns(second) == columns(first) == columns(Run.objects.get())


@pytest.mark.parametrize(
    ("reach", "while_pending", "while_running", "while_retrying", "when_ended"),
    [("pending", False, True, True, True), ("live", False, False, False, True), (WINDOW, False, False, False, False)],
)
def test_how_far_it_reaches(
    mail: Queue, reach: Any, while_pending: bool, while_running: bool, while_retrying: bool, when_ended: bool
) -> None:
    unique(reach)
    mail.add("send")

    def another_is_added() -> bool:
        """Whether another one would be."""
        with transaction.atomic():
            added = mail.add("send").added
            transaction.set_rollback(True)
        return added

    assert another_is_added() == while_pending
    taken = claim()
    assert another_is_added() == while_running
    engine_for("default").settle([retried(taken.ref)])
    assert another_is_added() == while_retrying
    end()
    assert another_is_added() == when_ended


def test_a_run_that_waits_for_its_retry_is_no_duplicate_of_one_that_came_later(mail: Queue) -> None:
    unique("pending")
    first = mail.add("send")
    taken = claim()
    second = mail.add("send")

    engine_for("default").settle([retried(taken.ref)])

    assert second.added
    assert {run.pk for run in mail.runs("pending")} == {first.pk, second.pk}
    assert mail.add("send") == second


@pytest.mark.parametrize("reach", ["pending", "live"])
def test_a_run_that_was_cancelled_is_in_nobodys_way(mail: Queue, reach: str) -> None:
    unique(reach)
    mail.add("send")
    mail.runs().cancel_pending()

    assert mail.add("send").added


def test_a_window_is_aligned_and_ends(mail: Queue) -> None:
    unique(WINDOW)
    first = mail.add("send")
    end = int(str(first.unique_lock)[1:11])

    assert end % WINDOW == 0
    assert end - WINDOW <= engine_for("default").now().timestamp() < end + 60

    earlier = str(first.unique_lock).replace(str(end), str(end - WINDOW))
    Run.objects.filter(pk=first.pk).update(unique_lock=earlier)
    assert mail.add("send").added


def test_a_run_that_comes_back_from_a_window_is_the_one_in_the_table(mail: Queue, columns: Columns) -> None:
    unique(WINDOW)

    assert columns(mail.add("send")) == columns(Run.objects.get())


def test_a_lock_tells_how_far_it_reaches_and_fills_its_column(mail: Queue) -> None:
    reaches: dict[str, Any] = {"p": "pending", "l": "live", "w": WINDOW}
    for letter, reach in reaches.items():
        job(queue="mail", name=letter, unique=reach)(send)
        lock = str(mail.add(letter).unique_lock)
        assert (lock[0], len(lock)) == (letter, 64)


# --- The key ---------------------------------------------------------------------------------------------------------


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether the second is a duplicate of the first."""
    with transaction.atomic():
        added = [queues.mail.add("send", payload).added for payload in (first, second)]
        transaction.set_rollback(True)
    assert added[0]
    return not added[1]


@pytest.mark.parametrize(
    ("first", "second", "are_the_same"),
    [
        ({}, {}, True),
        ({}, {"to": "n1"}, False),
        ({"to": "n1"}, {}, False),
        ({"to": "n1", "subject": "a"}, {"subject": "a", "to": "n1"}, True),
        ({"more": {"a": 1, "b": [1, 2]}}, {"more": {"b": [1, 2], "a": 1}}, True),
        ({"more": [1, 2]}, {"more": [2, 1]}, False),
        ({"more": (1, 2)}, {"more": [1, 2]}, True),
        ({"more": 1}, {"more": "1"}, False),
        ({"more": 1}, {"more": True}, False),
        ({"more": None}, {}, False),
        ({"to": "é"}, {"to": "é"}, True),
        ({"to": "n1"}, {"to": "N1"}, False),
        ({"to": "n1"}, {"to": "n1 "}, False),
    ],
)
def test_by_default_the_whole_payload_is_the_key(
    mail: Queue, first: dict[str, Any], second: dict[str, Any], are_the_same: bool
) -> None:
    unique()

    assert same(first, second) == are_the_same


def test_the_key_may_be_a_field_of_the_payload(mail: Queue) -> None:
    unique(unique_key="to")

    assert same({"to": "n1", "subject": "a"}, {"to": "n1", "subject": "b"})
    assert not same({"to": "n1"}, {"to": "n2"})
    assert not same({"more": 1}, {"to": "n1"})
    assert same({"more": 1}, {"more": 2})


def test_the_key_may_be_several_fields(mail: Queue) -> None:
    unique(unique_key=["to", "subject"])

    assert same({"to": "n1", "subject": "a", "more": 1}, {"to": "n1", "subject": "a", "more": 2})
    assert not same({"to": "n1", "subject": "a"}, {"to": "n1", "subject": "b"})
    assert not same({"to": "a", "subject": "b"}, {"to": "b", "subject": "a"})


def test_the_key_may_be_what_a_function_makes_of_the_payload(mail: Queue, write_module: WriteModule) -> None:
    write_module("keys", "def of_letter(payload):\n    return payload['to'].lower()")
    unique(unique_key="keys.of_letter")

    assert same({"to": "n1"}, {"to": "N1", "subject": "a"})
    assert not same({"to": "n1"}, {"to": "n2"})


def test_the_caller_may_say_the_key(mail: Queue) -> None:
    unique(unique_key="to")
    first = mail.add("send", {"to": "n1"}, unique_key="letter 7")

    assert mail.add("send", {"to": "n2"}, unique_key="letter 7") == first
    assert mail.add("send", {"to": "letter 7"}) == first
    assert mail.add("send", {"to": "n1"}).added
    assert mail.add("send", {"to": "n1"}, unique_key="letter 8").added


def test_keys_that_read_the_same_are_the_same(mail: Queue) -> None:
    unique(unique_key="to")

    assert same({"to": 7}, {"to": "7"})
    assert same({"to": ["a", 1]}, {"to": '["a",1]'})
    assert not same({"to": 7}, {"to": "07"})


def test_a_key_that_the_caller_says_is_the_same_whatever_of_the_payload_is_secret(mail: Queue) -> None:
    unique(secret=["to"])
    hidden = mail.add("send", {"to": "ann@example.org"}, unique_key="ann@example.org")

    assert str(hidden.unique_key).startswith("sha256:")
    assert mail.add("send", {"to": "n1"}, unique_key="ann@example.org") == hidden
    assert mail.add("send", {"to": "n1"}, unique_key=hidden.unique_key) == hidden


def test_one_can_search_for_the_key(mail: Queue) -> None:
    for name, key in {"whole": None, "field": "to", "fields": ["to", "subject"]}.items():
        job(queue="mail", name=name, unique="live", unique_key=key)(send)
        mail.add(name, {"to": "n1", "subject": "é"})
    mail.add("field", {"to": 7})
    long = mail.add("field", {"to": "x" * 256})

    keys = [*mail.runs().order_by("id").values_list("unique_key", flat=True)]
    assert keys[:-1] == ['{"subject":"\\u00e9","to":"n1"}', "n1", '["n1","\\u00e9"]', "7"]
    assert long.unique_key is not None
    assert long.unique_key.startswith("sha256:")
    assert mail.add("field", {"to": "x" * 256}) == long
    assert mail.add("field", {"to": "x" * 257}).added


def test_a_key_that_holds_a_secret_is_a_hash(mail: Queue) -> None:
    unique(secret=["to"])
    job(queue="mail", name="open", unique="live", unique_key="subject", secret=["to"])(send)

    run = mail.add("send", {"to": "ann@example.org"})

    assert run.unique_key is not None
    assert run.unique_key.startswith("sha256:")
    assert mail.add("send", {"to": "ann@example.org"}) == run
    assert mail.add("open", {"to": "ann@example.org", "subject": "hi"}).unique_key == "hi"


def test_other_jobs_and_queues_have_keys_of_their_own(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"unique": "live"}, "post": {"unique": "live"}}}
    runs = []
    for queue, name in [("mail", "send"), ("mail", "resend"), ("post", "send")]:
        job(queue=queue, name=name)(send)
        runs.append(queues[queue].add(name, {"to": "n1"}))

    assert all(run.added for run in runs)
    assert len({run.unique_lock for run in runs}) == 3


@pytest.mark.parametrize("answer", [None, 7, "", "x" * 256, "a\0"])
def test_a_function_must_answer_a_text(mail: Queue, answer: Any) -> None:
    def answers(payload: dict[str, Any]) -> Any:
        return answer

    unique(unique_key=answers)

    with pytest.raises(TypeError, match=r"answers\(\) must answer text of 1 to 255 printable characters, got "):
        mail.add("send")
    assert not Run.objects.exists()


# --- What becomes of a duplicate -------------------------------------------------------------------------------------


def test_a_duplicate_may_be_an_error_that_leaves_the_transaction_alone(mail: Queue) -> None:
    unique(unique_key="to")
    first = mail.add("send", {"to": "n1"})

    with transaction.atomic():
        Group.objects.create(name="before")
        with pytest.raises(DuplicateRun) as caught:
            mail.add("send", {"to": "n1"}, on_duplicate="raise")
        Group.objects.create(name="after")

    told = f"Job 'send' of queue 'mail' is unique, and run {first.pk} has the same key, 'n1'."
    assert (str(caught.value), caught.value.run_id, caught.value.code) == (told, first.pk, "duplicate_run")
    assert Group.objects.count() == 2
    assert Run.objects.get() == first
    assert mail.add("send", {"to": "n2"}, on_duplicate="raise").added


@pytest.mark.parametrize("reach", ["pending", "live", WINDOW])
def test_a_duplicate_may_take_the_place_of_a_run_that_is_pending(mail: Queue, reach: Any) -> None:
    unique(reach, unique_key="to")
    first = mail.add("send", {"to": "n1", "subject": "old"})

    second = mail.add("send", {"to": "n1", "subject": "new"}, on_duplicate="replace")

    first.refresh_from_db()
    assert (second.added, second.state) == (True, "pending")
    assert (first.state, first.reason) == ("cancelled", "replaced")
    assert first.finished_at is not None
    assert mail.add("send", {"to": "n1"}) == second


def test_a_run_that_has_started_is_not_replaced_but_comes_back(mail: Queue) -> None:
    unique("live")
    first = mail.add("send")
    claim()

    second = mail.add("send", on_duplicate="replace")

    assert (second, second.added, second.state) == (first, False, "running")
    assert Run.objects.count() == 1


def test_a_run_that_ended_in_the_window_is_not_replaced_but_comes_back(mail: Queue) -> None:
    unique(WINDOW)
    first = mail.add("send")
    end()

    second = mail.add("send", on_duplicate="replace")

    assert (second, second.added, second.state) == (first, False, "completed")


def test_a_replacement_that_is_rolled_back_replaces_nothing(mail: Queue) -> None:
    unique()
    first = mail.add("send")

    with failing_transaction():
        mail.add("send", on_duplicate="replace")

    first.refresh_from_db()
    assert (first.state, mail.add("send")) == ("pending", first)


def test_a_duplicate_does_not_disturb_the_transaction_of_the_caller(mail: Queue) -> None:
    unique()
    first = mail.add("send")

    with transaction.atomic():
        Group.objects.create(name="before")
        assert mail.add("send") == first
        Group.objects.create(name="after")
        assert mail.add("send", {"to": "n2"}).added

    assert (Group.objects.count(), Run.objects.count()) == (2, 2)


def test_events_tell_of_what_was_added_and_replaced_and_of_nothing_else(
    mail: Queue, listener: Listener, django_capture_on_commit_callbacks: Any
) -> None:
    unique()

    with django_capture_on_commit_callbacks(execute=True):
        first = mail.add("send")
        mail.add("send")
        second = mail.add("send", on_duplicate="replace")
        mail.bulk_add([{"job": "send"}, {"job": "send"}])

    told = [(event.key, event.run_id, getattr(event, "reason", None)) for event in listener.events]
    assert told == [
        ("job.enqueued", first.pk, None),
        ("job.cancelled", first.pk, "replaced"),
        ("job.enqueued", second.pk, None),
    ]


# --- Replays ---------------------------------------------------------------------------------------------------------


def test_a_replay_is_an_error_while_another_run_with_the_key_is_live(mail: Queue) -> None:
    unique("live")
    mail.add("send", {"to": "n1"})
    end()
    old = Run.objects.get()
    live = mail.add("send", {"to": "n1"})

    with pytest.raises(DuplicateRun, match=f"run {live.pk} has the same key"):
        replay(old.pk, actor="ada")

    live.delete()
    assert replay(old.pk, actor="ada").added


@pytest.mark.parametrize("key", ["a", "x" * 255, "ann@example.org"])
def test_a_replay_has_the_key_that_the_caller_gave(mail: Queue, key: str) -> None:
    unique("live", secret=["to"])
    old = mail.add("send", {"to": "ann@example.org"}, unique_key=key)
    end()
    live = mail.add("send", {"to": "n2"}, unique_key=key)

    with pytest.raises(DuplicateRun, match=f"run {live.pk} has the same key"):
        replay(old.pk, actor="ada")

    end()
    again = replay(old.pk, actor="ada")
    assert again.unique_key == old.unique_key
    assert mail.add("send", {"to": "n3"}, unique_key=key) == again


@pytest.mark.parametrize(
    "to", ["", "a\nb", "x" * 256, None, 7, ["n1"]], ids=["empty", "lines", "long", "null", "7", "list"]
)
def test_a_replay_has_the_key_that_its_payload_has(mail: Queue, to: Any) -> None:
    unique("live", unique_key="to")
    old = mail.add("send", {"to": to})
    end()

    again = replay(old.pk, actor="ada")

    assert (again.added, again.unique_key) == (True, old.unique_key)
    assert mail.add("send", {"to": to, "subject": "another"}) == again


def test_a_replay_of_a_job_that_is_unique_no_more_is_kept_out_by_nothing(mail: Queue) -> None:
    unique("live")
    old = mail.add("send", unique_key="a")
    end()
    mail.add("send", unique_key="a")
    unique(None)

    assert replay(old.pk, actor="ada").added


def test_a_replay_is_let_in_whatever_the_window_says(mail: Queue) -> None:
    unique(WINDOW)
    old = mail.add("send")
    end()

    again = replay(old.pk, actor="ada")

    assert again.added
    assert again != old
    assert mail.add("send") == old


# --- Many ------------------------------------------------------------------------------------------------------------


def test_a_batch_has_the_ids_of_those_that_were_there_and_of_the_new_ones(
    mail: Queue, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    unique(unique_key="to")
    job(queue="mail", name="plain")(send)
    there = {to: mail.add("send", {"to": to}).pk for to in ("n1", "n3")}

    # The new ones and those that are there, between a savepoint and its release.
    with django_assert_num_queries(statements(4, mariadb=6, mysql=10)):
        ids = mail.bulk_add(
            [
                *({"job": "send", "payload": {"to": f"n{n}"}} for n in range(5)),
                {"job": "plain"},
                {"job": "send", "payload": {"to": "n0", "subject": "again"}},
                {"job": "send", "payload": {"to": "n1"}},
            ]
        )

    assert (ids[1], ids[3], ids[7]) == (there["n1"], there["n3"], there["n1"])
    assert ids[6] == ids[0]
    assert len(set(ids)) == 6
    assert Run.objects.count() == 6
    assert [Run.objects.get(pk=run_id).payload.get("to") for run_id in ids[:6]] == ["n0", "n1", "n2", "n3", "n4", None]


def test_a_batch_that_is_added_again_adds_nothing(
    mail: Queue, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    unique()
    items = [{"job": "send", "payload": {"to": str(n)}} for n in range(CHUNK + 200)]
    ids = mail.bulk_add(items)

    with django_assert_num_queries(statements(6, mariadb=8, mysql=8)):
        assert mail.bulk_add(items) == ids

    assert Run.objects.count() == CHUNK + 200


def test_a_batch_replaces_what_is_pending_and_the_last_of_equal_items_stays(
    mail: Queue, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    unique(unique_key="to")
    old = mail.add("send", {"to": "n1", "subject": "old"})
    items = [{"job": "send", "payload": {"to": "n1", "subject": str(n)}, "on_duplicate": "replace"} for n in range(9)]

    # Inserted, looked for, looked at, cancelled, counted, who waits behind it, inserted; and two pairs of savepoints.
    with django_assert_num_queries(statements(11, mariadb=15, mysql=16)):
        ids = mail.bulk_add(items)

    old.refresh_from_db()
    assert (old.state, old.reason) == ("cancelled", "replaced")
    assert len(set(ids)) == 1
    assert mail.runs("pending").get().payload == {"to": "n1", "subject": "8"}
    assert mail.runs("pending").get().pk == ids[0]


@pytest.mark.parametrize("index", [0, 3, CHUNK + 3])
def test_a_duplicate_that_is_an_error_refuses_the_batch_and_its_index_is_named(mail: Queue, index: int) -> None:
    unique()
    job(queue="mail", name="ask", preflight={"on_before_add": lambda new: False})(send)
    first = mail.add("send", {"to": "there"})
    before = [{"job": "ask"} if n == 1 else {"job": "send", "payload": {"to": str(n)}} for n in range(index)]
    item = {"job": "send", "payload": {"to": "there"}, "on_duplicate": "raise"}

    with transaction.atomic(), pytest.raises(DuplicateRun) as caught:
        mail.bulk_add([*before, item])

    assert str(caught.value).startswith(f"item {index}: Job 'send' of queue 'mail' is unique, and run {first.pk} has ")
    assert caught.value.run_id == first.pk
    assert Run.objects.get() == first


def test_an_item_may_be_a_duplicate_of_one_before_it(mail: Queue) -> None:
    unique()

    with pytest.raises(DuplicateRun, match=r"^item 1: .* is unique, and an item before it has the same key, '\{\}'\.$"):
        mail.bulk_add([{"job": "send"}, {"job": "send", "on_duplicate": "raise"}])

    assert not Run.objects.exists()


@pytest.mark.parametrize("later", ["skip", "replace"])
def test_a_duplicate_that_is_an_error_is_one_whatever_comes_behind_it(mail: Queue, later: str) -> None:
    unique(unique_key="to")
    first = mail.add("send", {"to": "n1"})
    strict = {"job": "send", "payload": {"to": "n1"}, "on_duplicate": "raise"}

    with pytest.raises(DuplicateRun, match=f"^item 1: .* run {first.pk} has the same key, 'n1'"):
        mail.bulk_add([{"job": "send", "payload": {"to": "n2"}}, strict, {**strict, "on_duplicate": later}])

    assert mail.runs("pending").get() == first
    first_of_two, last = mail.bulk_add(
        [strict | {"payload": {"to": "n3"}}, {**strict, "payload": {"to": "n3"}, "on_duplicate": later}]
    )
    assert first_of_two == last


# --- Declaring it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"unique_key": "7"}, "unique_key: job 'send' is not unique. Give it the option unique."),
        ({"on_duplicate": "raise"}, "on_duplicate: job 'send' is not unique. Give it the option unique."),
        ({"on_duplicate": "replace"}, "on_duplicate: job 'send' is not unique. Give it the option unique."),
        ({"on_duplicate": "ignore"}, "on_duplicate: must be one of 'skip', 'raise', 'replace', got 'ignore'."),
        ({"unique_key": 7}, "unique_key: must be text of 1 to 255 printable characters, got 7."),
        ({"unique_key": ""}, "unique_key: must be text of 1 to 255 printable characters, got ''."),
        ({"unique_key": "x" * 256}, "unique_key: must be text of 1 to 255 printable characters, got 'xxxx"),
    ],
)
def test_arguments_that_say_nothing_are_refused(mail: Queue, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRun) as caught:
        mail.add("send", **options)

    assert str(caught.value).startswith(told)


def exact(to: str, subject: str = "") -> None:
    """A job with exact parameters."""


WANTED = (
    "must be a field of the payload, a list of them, a function, or a dotted path such as 'shop.keys.of_order', got "
)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"unique": "forever"},
            "[\"unique\"]: must be 'pending', 'live', or whole seconds from 1 to 31622400, got 'fore",
        ),
        ({"unique": 0}, "[\"unique\"]: must be 'pending', 'live', or whole seconds from 1 to 31622400, got 0"),
        ({"unique": 1.5}, "[\"unique\"]: must be 'pending', 'live', or whole seconds from 1 to 31622400, got 1.5"),
        ({"unique": True}, "[\"unique\"]: must be 'pending', 'live', or whole seconds from 1 to 31622400, got True"),
        ({"unique": 31622401}, '["unique"]: must be '),
        ({"unique": "live", "unique_key": ""}, f"[\"unique_key\"]: {WANTED}''"),
        ({"unique": "live", "unique_key": []}, f'["unique_key"]: {WANTED}[]'),
        ({"unique": "live", "unique_key": ["to", 5]}, f"[\"unique_key\"]: {WANTED}['to', 5]"),
        ({"unique": "live", "unique_key": 5}, f'["unique_key"]: {WANTED}5'),
        ({"unique": "live", "unique_key": "ot"}, "unique_key: there is no 'ot' in the payload. Known: subject, to."),
        ({"unique": "live", "unique_key": "a.b"}, "unique_key: 'a' cannot be imported: No module named 'a'."),
        ({"unique_key": "to"}, "unique_key: not read, because the job is not unique. Say how far, with unique."),
    ],
)
def test_what_cannot_work_is_found_by_the_checks(mail: Queue, options: dict[str, Any], problem: str) -> None:
    job(queue="mail", **options)(exact)

    [found] = checks.run_checks(tags=["jobqueue"])

    assert found.id == "jobqueue.E002"
    assert problem in f"{found.msg}"
    with pytest.raises(ConfigError):
        registry.get("mail", "exact")


def test_of_many_replays_those_that_are_duplicates_are_refused(mail: Queue) -> None:
    unique("live", unique_key="to")
    for to in ("n1", "n1", "n2"):
        mail.add("send", {"to": to})
        mail.runs().cancel_pending()
    live = mail.add("send", {"to": "n2"})

    done = replay_many(RunFilter(states=(State.CANCELLED,)), actor="ada")

    assert (done.replayed, done.refused) == (1, 2)
    assert "unique" in done.refusals[0]
    assert {run.payload["to"] for run in mail.runs("pending")} == {"n1", "n2"}
    assert live in mail.runs("pending")
