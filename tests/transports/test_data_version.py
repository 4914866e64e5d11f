"""SQLite is looked at for what others have written."""

from __future__ import annotations

import pytest
from django.db import connection

from tests.transports.hearing import SHORT_SECONDS, heard

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite]


def test_what_others_write_is_not_heard_as_work() -> None:
    with heard() as woken:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE jobqueue_written (id int)")
            cursor.execute("DROP TABLE jobqueue_written")
        assert not woken.wait(SHORT_SECONDS)
