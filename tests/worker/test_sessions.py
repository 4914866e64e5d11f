"""Sessions: a worker sets up those of its own threads, and those of jobs stay as the project has them."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from django_jobqueue import job, queues
from django_jobqueue.models import Run
from tests.worker.conftest import Work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]


def look() -> list[str]:
    """What is set up in the session of this thread."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout')")
        [lock_timeout] = cursor.fetchone()
    return [lock_timeout, connection.connection.cursor_factory.__name__]


def test_the_sessions_of_jobs_stay_as_the_project_has_them(work: Work) -> None:
    job(name="plain")(look)

    @job
    async def coroutine() -> list[str]:
        return await sync_to_async(look)()

    queues.default.bulk_add({"job": name} for name in ("plain", "coroutine"))
    work()

    assert list(Run.objects.values_list("result", flat=True)) == [["0", "Cursor"]] * 2
