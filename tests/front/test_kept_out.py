"""A run whose key is held by nobody that can be found is refused in the end, and the caller is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction

from django_jobqueue import job
from django_jobqueue.errors import KeyContested
from django_jobqueue.models import IdempotencyKey, Run
from django_jobqueue.queue import Queue
from tests.front.conftest import send

# A trigger of MariaDB can refuse a row, but not keep it out without a word.
pytestmark = [pytest.mark.django_db, pytest.mark.postgresql, pytest.mark.sqlite]

Guarded: TypeAlias = Callable[[str], None]


@pytest.fixture
def guarded() -> Guarded:
    """Let a trigger keep all rows out of a table, without a word."""

    def guarded(table: str) -> None:
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute(f"CREATE TRIGGER guard BEFORE INSERT ON {table} BEGIN SELECT RAISE(IGNORE); END")
                return
            cursor.execute("CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
            cursor.execute(f"CREATE TRIGGER guard BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION nothing()")

    return guarded


TOLD = (
    "The {key} of job 'send' of queue 'mail' was held 100 times, and each time free again at once. Add the run once "
    "more, if many others do the same; or look for a trigger of the database that keeps it out."
)


@pytest.mark.parametrize("on_duplicate", ["skip", "raise", "replace"])
def test_a_unique_run_that_does_not_get_in_is_refused(mail: Queue, guarded: Guarded, on_duplicate: Any) -> None:
    job(queue="mail", unique="live", unique_key="to")(send)
    guarded("jobqueue_run")

    with transaction.atomic():
        Group.objects.create(name="before")
        with pytest.raises(KeyContested) as caught:
            mail.add("send", {"to": "n1"}, on_duplicate=on_duplicate)

    assert (str(caught.value), caught.value.code) == (TOLD.format(key="unique_key 'n1'"), "key_contested")
    assert Group.objects.exists()
    assert not Run.objects.exists()


def test_a_run_whose_idempotency_key_cannot_be_kept_is_refused(mail: Queue, guarded: Guarded) -> None:
    guarded("jobqueue_idempotency_key")

    with transaction.atomic():
        Group.objects.create(name="before")
        with pytest.raises(KeyContested) as caught:
            mail.add("send", {"to": "n1"}, idempotency_key="a")

    assert str(caught.value) == TOLD.format(key="idempotency_key")
    assert Group.objects.exists()
    assert not Run.objects.exists()
    assert not IdempotencyKey.objects.exists()
