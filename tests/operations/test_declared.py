"""What faces know of operations: keys, versions, who may call them, what comes of them; and their async twins."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from django_jobqueue import operations
from django_jobqueue.errors import RunNotFound
from django_jobqueue.models import Run
from django_jobqueue.operations import OPERATIONS, Auth, Operation
from django_jobqueue.operations.operation import operation
from django_jobqueue.signals import RunCancelled, RunEnqueued
from tests.operations.conftest import MakeRun
from tests.operations.test_recording import RECORDED


def test_every_exported_operation_is_in_the_register_by_its_key() -> None:
    exported = {value for value in vars(operations).values() if isinstance(value, Operation)}

    assert exported == set(OPERATIONS.values())
    assert {declared.key for declared in exported} == set(OPERATIONS)
    assert all(re.fullmatch(r"(jobs|queues)(\.[a-z_]+)+", key) for key in OPERATIONS)


def test_an_operation_says_who_may_call_it_and_what_it_tells_of() -> None:
    assert OPERATIONS["jobs.cancel"] is operations.cancel
    assert (operations.cancel.auth, operations.cancel.version, operations.cancel.emits) == (
        Auth.USER,
        1,
        (RunCancelled,),
    )
    assert (operations.replay.auth, operations.replay.emits) == (Auth.ADMIN, (RunEnqueued,))
    assert repr(operations.pause_queue) == "<Operation queues.pause>"


def test_an_operation_looks_like_its_function() -> None:
    assert list(inspect.signature(operations.cancel).parameters) == ["run_id", "actor", "reason", "force"]
    assert (operations.cancel.__doc__ or "").startswith("Cancel a run")


def test_every_operation_has_an_async_twin() -> None:
    for declared in OPERATIONS.values():
        name = declared.function.__name__
        twin = getattr(operations, f"a{name}")
        assert inspect.iscoroutinefunction(twin)
        assert twin.__name__ == f"a{name}"
        assert {name, f"a{name}"} <= set(operations.__all__)


LOOKING: dict[str, Callable[[Run], tuple[list[Any], Callable[[Any], object]]]] = {
    "jobs.enqueue": lambda run: (["mail", "send"], lambda new: (new.job, new.state)),
    "jobs.enqueue_many": lambda run: (["mail", [{"job": "send"}] * 2], len),
    "jobs.get": lambda run: ([run.pk], lambda found: found.pk),
    "jobs.explain": lambda run: ([run.pk], lambda obstacles: [each.code for each in obstacles]),
    "jobs.stats": lambda run: (["mail"], lambda figures: figures.total.failed),
    "jobs.check_pending": lambda run: ([], lambda checked: checked.problems),
    "jobs.schedule.list": lambda run: ([], list),
    "jobs.schedule.get": lambda run: (["nightly"], lambda schedule: schedule.job),
}
"""Operations for which nobody answers: arguments, and what is the same in two of their answers."""


def test_every_operation_is_called_by_its_twin_here_or_where_it_is_recorded() -> None:
    assert set(LOOKING) | set(RECORDED) == set(OPERATIONS)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("key", LOOKING)
def test_a_twin_answers_the_same(key: str, make_run: MakeRun) -> None:
    operations.schedule_create("nightly", queue="mail", job="send", cron="0 3 * * *", actor="bo")
    arguments, told = LOOKING[key](make_run("failed"))
    twin = getattr(operations, f"a{OPERATIONS[key].function.__name__}")

    assert told(async_to_sync(twin)(*arguments)) == told(OPERATIONS[key](*arguments))


@pytest.mark.django_db(transaction=True)
def test_a_twin_does_and_raises_the_same(make_run: MakeRun) -> None:
    run = make_run()

    done = async_to_sync(operations.acancel)(run.pk, actor="ana", reason="wrong address")

    assert (done.changed, done.state) == (True, "cancelled")
    with pytest.raises(RunNotFound):
        async_to_sync(operations.acancel)(run.pk + 1, actor="ana")


def test_two_operations_cannot_have_one_key() -> None:
    with pytest.raises(ValueError, match=r"There are two operations 'jobs\.cancel'\."):
        operation("jobs.cancel", auth=Auth.USER)(lambda: None)


def test_the_page_of_operations_lists_each_with_its_key_and_who_may_call_it() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    lines = [line.split("|")[1:] for line in page.splitlines() if re.match(r"\| `.*\| (user|admin) \|", line)]
    listed = {
        (name, key, auth.strip())
        for names, keys, auth, *_ in lines
        for name, key in zip(re.findall(r"`(.+?)`", names), re.findall(r"`(.+?)`", keys), strict=True)
    }

    assert listed == {(each.function.__name__, key, each.auth) for key, each in OPERATIONS.items()}
