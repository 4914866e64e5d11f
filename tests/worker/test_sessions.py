"""Sessions: a worker sets up those of its own threads, and those of jobs stay as the project has them."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from django_jobqueue import job, queues
from django_jobqueue.models import Run
from django_jobqueue.worker.asker import Asker
from django_jobqueue.worker.lock_waits import short_lock_waits
from django_jobqueue.worker.sessions import sessions_with
from tests.worker.bench import PATIENCE_SECONDS, join_threads
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


def test_so_do_those_of_functions_that_schedules_ask() -> None:
    told: list[list[str]] = []

    with sessions_with(short_lock_waits):
        connection.close()
        [ours, _] = look()
        answer = Asker().call("nightly", lambda: told.append(look()))  # type: ignore[arg-type,return-value]  # it makes no run
        answer.result(PATIENCE_SECONDS)
        connection.close()
        join_threads()

    assert ours == "3s"
    assert told == [["0", "Cursor"]]
