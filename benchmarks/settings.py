"""The project that the benchmarks measure: nothing but the queue, and durable databases."""

from __future__ import annotations

import os

SECRET_KEY = "benchmarks"
TIME_ZONE = "UTC"  # of the dates on the page
USE_TZ = True
INSTALLED_APPS = ["django_jobqueue", "benchmarks"]

DATABASES = {
    "default": {
        "sqlite": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("BENCHMARK_FILE", ":memory:"),
            "OPTIONS": {
                "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL",
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
            },
        },
        "postgresql": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "HOST": os.environ.get("BENCHMARK_HOST", ""),
            "PORT": os.environ.get("BENCHMARK_PORT", ""),
            "USER": "postgres",
        },
    }[os.environ.get("BENCHMARK_DATABASE", "sqlite")]
}

SILENCED_SYSTEM_CHECKS = ["jobqueue.I001"]  # nobody looks at it in the admin

JOBQUEUE = {
    "queues": {
        "limited": {"concurrent_jobs": 10_000, "jobs": {"noop": "benchmarks.jobs.noop"}},
        "keyed": {"concurrent_jobs_per_key": 1, "jobs": {"noop": "benchmarks.jobs.noop"}},
    },
}
