"""``inline()`` has runs worked where they are added; everything here is a ``TestCase``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test import TestCase

from django_jobqueue import Cancel, Fail, RunContext, Snooze, job, queues
from django_jobqueue.errors import PayloadError, UnknownJob
from django_jobqueue.models import Run
from django_jobqueue.operations import at_once, pause_queue, replay, schedule_create, schedule_fire_now
from django_jobqueue.states import State
from django_jobqueue.testing import adrain, drain, inline


class Inlines(TestCase):
    def setUp(self) -> None:
        self.calls: list[Any] = []

        @job
        def note(word: str) -> str:
            self.calls.append(word)
            return word.upper()


class ARun(Inlines):
    def test_has_ended_when_add_returns(self) -> None:
        @job
        def total(prices: list[int]) -> tuple[int, str]:
            self.calls.append(type(prices))
            return sum(prices), "EUR"

        with inline():
            run = queues.default.add("total", {"prices": (1, 2)})

        assert (run.state, run.result, run.attempt, self.calls) == (State.COMPLETED, [3, "EUR"], 1, [list])
        assert Run.objects.get().state == State.COMPLETED
        assert [attempt.outcome for attempt in run.attempts.all()] == ["completed"]

    def test_is_tried_again_at_once_as_often_as_its_job_allows(self) -> None:
        @job(max_attempts=4)
        def fail(until: int, *, run: RunContext) -> int:
            if run.attempt <= until:
                raise ValueError
            return run.attempt

        with inline(raise_errors=False):
            good = queues.default.add("fail", {"until": 3})
            bad = queues.default.add("fail", {"until": 4})

        assert (good.state, good.result, good.failures) == (State.COMPLETED, 4, 3)
        assert (bad.state, bad.failures, bad.attempts.count()) == (State.DEAD_LETTERED, 4, 4)

    def test_that_is_refused_is_refused_as_ever(self) -> None:
        with inline(), pytest.raises(PayloadError, match="'word' is missing"):
            queues.default.add("note")
        with inline(), pytest.raises(UnknownJob):
            queues.default.add("nota")

        assert self.calls == []

    def test_for_later_stays_pending_and_can_be_drained(self) -> None:
        with inline():
            run = queues.default.add("note", {"word": "later"}, delay_seconds=60)

            assert (run.state, self.calls) == (State.PENDING, [])
            drain(advance_seconds=60)
        assert self.calls == ["later"]

    def test_that_snoozes_stays_pending(self) -> None:
        @job
        def snooze() -> None:
            self.calls.append("snoozed")
            raise Snooze

        with inline():
            run = queues.default.add("snooze")

        assert (run.state, run.snoozes, self.calls) == (State.PENDING, 1, ["snoozed"])

    def test_asks_no_pause_and_waits_for_no_other(self) -> None:
        pause_queue("default", actor="test")
        queues.default.add("note", {"word": "waits"}, priority=100)
        with inline():
            run = queues.default.add("note", {"word": "inline"})

        assert self.calls == ["inline"]
        assert (run.namespace, run.state) == ("default", State.COMPLETED)
        assert Run.objects.filter(namespace="default", state=State.PENDING).count() == 1

    def test_shares_the_transaction_of_its_caller(self) -> None:
        @job
        def write() -> None:
            Group.objects.create(name="written")

        with suppress(KeyError), transaction.atomic(), inline():
            self.calls += [queues.default.add("write").state, Group.objects.count()]
            raise KeyError

        assert self.calls == [State.COMPLETED, 1]
        assert not Group.objects.exists()
        assert not Run.objects.exists()

    def test_may_be_added_in_bulk(self) -> None:
        with inline():
            ids = queues.default.bulk_add({"job": "note", "payload": {"word": word}} for word in "abc")

        assert self.calls == ["a", "b", "c"]
        assert Run.objects.filter(pk__in=ids, state=State.COMPLETED).count() == 3

    def test_may_be_a_replay(self) -> None:
        old = queues.default.add("note", {"word": "again"})
        drain()
        with inline():
            new = replay(old.pk, actor="test")

        assert (new.state, new.result, self.calls) == (State.COMPLETED, "AGAIN", ["again", "again"])

    def test_may_be_that_of_a_schedule(self) -> None:
        schedule_create("nightly", job="note", cron="0 3 * * *", payload={"word": "night"}, actor="test")
        with inline():
            run = schedule_fire_now("nightly", actor="test")

        assert (run.state, self.calls) == (State.COMPLETED, ["night"])

    async def test_may_be_added_by_async_code(self) -> None:
        @job
        async def write(name: str) -> str:
            await Group.objects.acreate(name=name)
            await queues.default.aadd("note", {"word": name})
            return name

        with inline():
            runs = await asyncio.gather(*(queues.default.aadd("write", {"name": name}) for name in "ab"))

        assert [run.result for run in runs] == ["a", "b"]
        assert sorted(self.calls) == ["a", "b"]
        assert await Group.objects.acount() == 2
        assert await adrain() == []


class WhatAJobAdds(Inlines):
    def test_waits_until_that_job_has_ended_as_with_a_worker(self) -> None:
        @job
        def outer() -> str:
            run = queues.default.add("note", {"word": "inner"})
            queues.default.bulk_add([{"job": "note", "payload": {"word": "bulk"}}])
            transaction.on_commit(partial(queues.default.add, "note", {"word": "on commit"}))
            self.calls.append("outer")
            return str(run.state)

        with inline():
            run = queues.default.add("outer")

        assert self.calls == ["outer", "inner", "bulk", "on commit"]
        assert run.result == State.PENDING
        assert not Run.objects.exclude(state=State.COMPLETED).exists()

    def test_includes_what_follows_a_dead_letter(self) -> None:
        @job(max_attempts=1, on_dead_letter="mourn")
        def fail() -> None:
            raise ValueError

        @job
        def mourn(run_id: int) -> None:
            self.calls.append(run_id)

        with inline(raise_errors=False):
            run = queues.default.add("fail")

        assert self.calls == [run.pk]

    def test_may_be_no_endless_chain(self) -> None:
        @job
        def forever() -> None:
            queues.default.add("forever")

        with inline(at_most=20), pytest.raises(AssertionError, match="More is due after 20 attempts"):
            queues.default.add("forever")


class AnError(Inlines):
    def setUp(self) -> None:
        super().setUp()

        @job(max_attempts=2)
        def fail(*, run: RunContext) -> None:
            queues.default.add("note", {"word": f"attempt {run.attempt}"})
            raise ValueError("no such order")

    def test_is_raised_when_all_is_recorded(self) -> None:
        with inline(), pytest.raises(ValueError, match="no such order") as caught:
            queues.default.add("fail")

        run = Run.objects.get(job="fail")
        assert (run.state, run.failures, self.calls) == (State.DEAD_LETTERED, 2, ["attempt 1", "attempt 2"])
        assert caught.value.__notes__ == [
            f"<default.fail #{run.pk}, attempt 2: dead_lettered: ValueError: no such order>"
        ]

    def test_may_be_left_to_the_run(self) -> None:
        with inline(raise_errors=False):
            run = queues.default.add("fail")

        assert (run.state, run.error) == (State.DEAD_LETTERED, "ValueError: no such order")

    def test_is_raised_at_once_where_trying_again_is_useless(self) -> None:
        @job
        def fail_for_good() -> None:
            raise Fail("no card")

        with inline(), pytest.raises(Fail, match="no card"):
            queues.default.add("fail_for_good")

        assert Run.objects.get().state == State.FAILED

    def test_is_none_where_the_job_cancels_its_run(self) -> None:
        @job
        def cancel_itself() -> None:
            raise Cancel("nothing to do")

        with inline():
            assert queues.default.add("cancel_itself").state == State.CANCELLED

    def test_of_the_database_leaves_the_transaction_of_the_caller_usable(self) -> None:
        @job
        def add_twice() -> None:
            Group.objects.create(name="same")
            Group.objects.create(name="same")

        with transaction.atomic(), inline(raise_errors=False):
            Group.objects.create(name="caller")
            run = queues.default.add("add_twice")

        assert run.state == State.DEAD_LETTERED
        assert [group.name for group in Group.objects.all()] == ["caller"]

    def test_that_is_no_failure_of_a_job_is_raised_always(self) -> None:
        @job
        def interrupted() -> None:
            raise KeyboardInterrupt

        with inline(raise_errors=False), pytest.raises(KeyboardInterrupt):
            queues.default.add("interrupted")


class WhereItHolds(Inlines):
    def add(self, word: str) -> None:
        queues.default.add("note", {"word": word})

    def test_in_the_block_and_not_after(self) -> None:
        with inline():
            self.add("in")
        self.add("after")

        assert self.calls == ["in"]
        assert at_once.working.get() is None

    def test_in_the_block_also_if_that_fails(self) -> None:
        with pytest.raises(KeyError), inline():
            raise KeyError

        assert at_once.working.get() is None

    def test_an_inner_block_gives_way_to_the_outer(self) -> None:
        @job(max_attempts=1)
        def fail() -> None:
            raise ValueError

        with inline():
            with inline(raise_errors=False):
                queues.default.add("fail")
            with pytest.raises(ValueError):  # noqa: PT011
                queues.default.add("fail")

    @inline()
    def test_in_a_test_that_it_decorates(self) -> None:
        self.add("in")

        assert self.calls == ["in"]

    @inline()
    async def test_in_an_async_test_that_it_decorates(self) -> None:
        await queues.default.aadd("note", {"word": "in"})

        assert self.calls == ["in"]

    def test_not_in_other_threads(self) -> None:
        seen = []
        with inline():
            thread = threading.Thread(target=lambda: seen.append(at_once.working.get()))
            thread.start()
            thread.join()

        assert seen == [None]

    def test_not_in_other_tasks(self) -> None:
        entered, left = asyncio.Event(), asyncio.Event()

        async def one() -> None:
            with inline():
                entered.set()
                await left.wait()

        async def other() -> object:
            await entered.wait()
            seen = at_once.working.get()
            left.set()
            return seen

        async def both() -> object:
            return (await asyncio.gather(one(), other()))[1]

        assert asyncio.run(both()) is None

    def test_not_in_jobs_that_are_drained(self) -> None:
        @job
        def outer() -> None:
            self.add("inner")
            self.calls.append("outer")

        queues.default.add("outer")
        with inline():
            drain()

        assert self.calls == ["outer", "inner"]


@inline()
class ADecoratedTestCase(Inlines):
    def setUp(self) -> None:
        super().setUp()
        queues.default.add("note", {"word": "set-up"})

    def test_is_inline_from_its_set_up_on(self) -> None:
        queues.default.add("note", {"word": "test"})

        assert self.calls == ["set-up", "test"]

    def test_is_so_in_each_test(self) -> None:
        assert self.calls == ["set-up"]


class AnotherTestCase(Inlines):
    def test_is_not(self) -> None:
        queues.default.add("note", {"word": "test"})

        assert self.calls == []


@pytest.mark.django_db(transaction=True)
def test_threads_of_their_own_work_side_by_side() -> None:
    both = threading.Barrier(2, timeout=60)
    names = []

    @job
    def meet() -> None:
        both.wait()
        names.append(threading.current_thread().name)

    def add() -> None:
        with closed_connection(), inline():
            names.append(queues.default.add("meet").state)

    threads = [threading.Thread(target=add, name=name) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(names) == ["a", "b", State.COMPLETED, State.COMPLETED]


@contextmanager
def closed_connection() -> Iterator[None]:
    """Close the connection of this thread at the end of the block."""
    try:
        yield
    finally:
        connection.close()
