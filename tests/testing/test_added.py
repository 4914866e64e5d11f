"""Assertions about what was added tell what there is instead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from textwrap import dedent
from typing import Any

import pytest
from django.db import transaction
from django.test import TestCase
from django.utils import timezone

from django_jobqueue import job, queues
from django_jobqueue.errors import PayloadError, UnknownJob, UnknownQueue
from django_jobqueue.models import Run
from django_jobqueue.testing import aassert_added, aassert_not_added, assert_added, assert_not_added, drain, recorded


@dataclass
class Parcel:
    order: int
    due: date


class Added(TestCase):
    def setUp(self) -> None:
        self.receipt = job(name="send_receipt")(_take_anything)
        self.letter = job(queue="mail", name="send_letter")(_take_anything)

    def add(self, **options: Any) -> Run:
        return queues.default.add("send_receipt", **options)


class WhatCounts(Added):
    def test_is_a_run_of_the_job(self) -> None:
        run = self.add()

        assert assert_added("send_receipt") == [run]
        assert assert_added(self.receipt) == [run]
        assert assert_added("send_receipt", queue="default") == [run]
        assert assert_added("send_receipt", queue=queues.default) == [run]
        assert_not_added("send_letter")
        assert_not_added(self.letter)

    def test_is_a_run_in_any_state(self) -> None:
        run = self.add()
        drain()

        assert assert_added("send_receipt", state="completed") == [run]

    def test_is_exactly_the_payload(self) -> None:
        first = self.add(payload={"order": 7, "lines": [{"price": 1}]})
        second = self.add()

        assert assert_added("send_receipt", {"lines": ({"price": 1},), "order": 7}) == [first]
        assert assert_added("send_receipt", {}) == [second]
        assert_not_added("send_receipt", {"order": 7})

    def test_is_a_payload_of_the_type_that_the_job_takes(self) -> None:
        @job
        def ship(payload: Parcel) -> None:
            """Do nothing."""

        run = queues.default.add("ship", Parcel(order=7, due=date(2030, 1, 1)))

        assert assert_added(ship, Parcel(order=7, due=date(2030, 1, 1))) == [run]
        assert assert_added(ship, {"order": 7, "due": "2030-01-01"}) == [run]
        assert_not_added(ship, Parcel(order=7, due=date(2030, 1, 2)))

    def test_is_any_question_that_a_filter_can_ask(self) -> None:
        now = timezone.now()
        run = self.add(payload={"order": {"id": 7}}, priority=5, delay_seconds=60)

        assert assert_added("send_receipt", priority=5, payload__order__id=7, run_at__gt=now) == [run]
        assert_not_added("send_receipt", priority=6)
        assert_not_added("send_receipt", payload__order__id=8)
        assert_not_added("send_receipt", run_at__gt=now + timedelta(hours=1))

    def test_is_a_number_of_runs(self) -> None:
        runs = [self.add(), self.add()]

        assert assert_added("send_receipt", count=2) == runs
        with pytest.raises(AssertionError, match=r"^Expected one run with job='send_receipt'\. Found 2\."):
            assert_added("send_receipt", count=1)
        with pytest.raises(AssertionError, match=r"^Expected 3 runs with job='send_receipt'\. Found 2\."):
            assert_added("send_receipt", count=3)

    def test_is_what_this_project_added(self) -> None:
        self.add()
        Run.objects.update(namespace="another")

        assert_not_added("send_receipt")

    async def test_can_be_asked_by_async_tests(self) -> None:
        run = await queues.default.aadd("send_receipt")

        assert await aassert_added("send_receipt") == [run]
        await aassert_not_added("send_letter")


class AFailure(Added):
    def failure(self, *args: Any, **options: Any) -> str:
        with pytest.raises(AssertionError) as caught:
            assert_added(*args, **options)
        return str(caught.value)

    def test_tells_when_there_is_nothing(self) -> None:
        assert self.failure("send_receipt") == "Expected a run with job='send_receipt'. Found none.\nNothing was added."

    def test_tells_the_nearest_run_and_how_it_differs(self) -> None:
        for order in (8, 70):
            self.add(payload={"order": order, "to": "ada@example.org"})
        near = self.add(payload={"order": 71, "to": "ada@example.org"}, priority=5)
        other = queues.mail.add("send_letter", {"order": 7})

        told = self.failure("send_receipt", {"order": 7, "to": "ada@example.org"}, queue="default", priority=5)

        assert told.partition("Added:")[0] == dedent(f"""\
            Expected a run with job='send_receipt', priority=5, queue='default', payload={{'order': 7, 'to': 'ada@example.org'}}. Found none.
            Nearest is #{near.pk} default.send_receipt, pending: {{"order": 71, "to": "ada@example.org"}}
                wanted payload (-), and its payload (+):
                  {{
                -   "order": 7,
                +   "order": 71,
                ?             +
                    "to": "ada@example.org"
                  }}
            """)
        assert f'    #{other.pk} mail.send_letter, pending: {{"order": 7}}' in told

    def test_tells_the_columns_that_differ(self) -> None:
        run = self.add(priority=4)

        assert self.failure("send_receipt", priority=5, queue="default") == dedent(f"""\
            Expected a run with job='send_receipt', priority=5, queue='default'. Found none.
            Nearest is #{run.pk} default.send_receipt, pending: {{}}
                wanted priority=5, it has 4
            Added:
                #{run.pk} default.send_receipt, pending: {{}}""")

    def test_prefers_the_payload_that_comes_nearest(self) -> None:
        near = self.add(payload={"to": "ada@example.org"})
        self.add(payload={"number": 1})

        assert f"Nearest is #{near.pk} " in self.failure("send_receipt", {"to": "eda@example.org"})

    def test_prefers_the_run_that_differs_in_fewer_ways(self) -> None:
        near = self.add(payload={"order": 7})
        self.add(payload={"order": 8}, priority=4)

        assert f"Nearest is #{near.pk} " in self.failure("send_receipt", {"order": 7}, priority=5)

    def test_tells_what_was_found_and_what_else_was_added(self) -> None:
        run = self.add(payload={"order": 7})
        other = queues.mail.add("send_letter")

        with pytest.raises(AssertionError) as caught:
            assert_not_added(self.receipt)
        assert str(caught.value) == dedent(f"""\
            Expected no run with job='send_receipt', queue='default'. Found 1.
            Found:
                #{run.pk} default.send_receipt, pending: {{"order": 7}}
            Others:
                #{other.pk} mail.send_letter, pending: {{}}""")

    def test_stays_readable(self) -> None:
        for number in range(12):
            self.add(payload={"text": f"{number} " * 1000})

        told = self.failure("send_receipt", priority=1)

        assert "    (2 earlier)\n" in told
        assert all(len(line) < 300 for line in told.splitlines())

    def test_is_not_that_a_name_is_misspelt(self) -> None:
        with pytest.raises(
            LookupError, match=r"'send_recipt' is not a job of any queue\. Did you mean 'send_receipt'\?"
        ):
            assert_not_added("send_recipt")
        with pytest.raises(UnknownJob, match=r"'send_letter' is not a job of queue 'default'"):
            assert_not_added("send_letter", queue="default")
        with pytest.raises(UnknownQueue, match=r"Did you mean 'mail'\?"):
            assert_not_added("send_letter", queue="mial")
        with pytest.raises(TypeError, match=r"'priorty' is not a column of Run\. Did you mean 'priority'\?"):
            assert_not_added("send_letter", priorty=1)

    def test_is_not_that_a_payload_cannot_be(self) -> None:
        with pytest.raises(PayloadError, match="set is not JSON"):
            assert_not_added("send_letter", {"to": {1}})


class Recorded(Added):
    def test_are_the_runs_of_the_block_in_their_order(self) -> None:
        self.add()
        with recorded() as added:
            runs = [self.add(), queues.mail.add("send_letter"), self.add(priority=9)]
        self.add()

        assert added == runs

    def test_are_none_where_none_was_added(self) -> None:
        self.add()
        with recorded() as added:
            pass

        assert added == []

    def test_are_not_those_that_were_rolled_back(self) -> None:
        with recorded() as added, transaction.atomic():
            self.add()
            transaction.set_rollback(True)

        assert added == []


def _take_anything(**payload: object) -> None:
    """Do nothing."""
