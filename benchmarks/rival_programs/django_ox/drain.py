"""Jobs that do nothing, worked by django-ox: jobs in a pool of threads, on connections that are kept."""

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
    INSTALLED_APPS=["django_ox"],
    TASKS={"default": {"BACKEND": "django_ox.backend.OxBackend"}},
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

from django.db import connection  # noqa: E402
from django.tasks import task  # noqa: E402  # needs the settings
from django_ox.bulk import enqueue_many  # noqa: E402
from django_ox.models import OxTask  # noqa: E402

CONCURRENCY = 8


@task
def noop(number: int) -> None:
    pass


def main(jobs: int) -> None:
    logging.disable()
    call_command("migrate", verbosity=0)
    enqueue_many(noop, [((number,), {}) for number in range(jobs)])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    begun = perf_counter()
    with suppress(SystemExit):
        call_command("ox_worker", batch=True, interval=0.01, concurrency=CONCURRENCY)
    seconds = perf_counter() - begun
    if (done := OxTask.objects.filter(status="SUCCESSFUL").count()) != jobs:
        raise SystemExit(f"Of {jobs} jobs, {done} were done.")
    print(json.dumps({"seconds": seconds, "version": version("django-ox")}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
