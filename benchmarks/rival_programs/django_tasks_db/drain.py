"""Jobs that do nothing, worked by django-tasks-db, which works one after the other: on a connection that is kept."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import suppress
from importlib.metadata import version
from time import perf_counter

import django
from django.conf import settings
from django.core.management import call_command

settings.configure(
    SECRET_KEY="benchmarks",
    USE_TZ=True,
    INSTALLED_APPS=["django_tasks_db"],
    TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
    LOGGING_CONFIG=None,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "USER": os.environ["PGUSER"],
            "CONN_MAX_AGE": None,
        }
    },
)
django.setup()

from django.db import connection, transaction  # noqa: E402
from django.tasks import task  # noqa: E402  # needs the settings
from django_tasks_db.models import DBTaskResult  # noqa: E402


@task
def noop(number: int) -> None:
    pass


def main(jobs: int) -> None:
    logging.disable()
    call_command("migrate", verbosity=0)
    with transaction.atomic():
        for number in range(jobs):
            noop.enqueue(number)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    begun = perf_counter()
    with suppress(SystemExit):
        call_command("db_worker", batch=True, interval=0, startup_delay=False)
    seconds = perf_counter() - begun
    if (done := DBTaskResult.objects.filter(status="SUCCESSFUL").count()) != jobs:
        raise SystemExit(f"Of {jobs} jobs, {done} were done.")
    print(json.dumps({"seconds": seconds, "version": version("django-tasks-db")}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
