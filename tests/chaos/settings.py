"""The project that chaos is let loose on."""

from __future__ import annotations

import os

from tests.program_settings import *  # noqa: F403

LEASE_SECONDS = float(os.environ.get("JOBQUEUE_CHAOS_LEASE", "15"))
"""In the suite, so long that none ends because a machine stalls."""

SLOTS = int(os.environ.get("JOBQUEUE_CHAOS_SLOTS", "2"))
"""Of a worker. After a crash, as many children start as have become free."""

EVERY_SECONDS = 1
"""Between two due times of the schedule."""

HANGS = {"timeout_seconds": 0.5, "hard_timeout_seconds": 1.0, "max_attempts": 1}

ATOMIC = ("enter", "enter_apart")
"""The jobs that write in the transaction of their end."""

JOBQUEUE = {
    "worker": {"lease_seconds": LEASE_SECONDS, "poll_seconds": 0.1, "concurrency": SLOTS},
    "queues": {
        "chaos": {
            "backoff": {"mode": "fixed", "initial_seconds": 0, "jitter": 0},
            "jobs": {
                "work": "tests.chaos.jobs.work",
                "once": {"run": "tests.chaos.jobs.work", "delivery": "at_most_once"},
                "apart": {"run": "tests.chaos.jobs.work", "executor": "process"},
                "enter": {"run": "tests.chaos.jobs.enter", "atomic": True},
                "enter_apart": {"run": "tests.chaos.jobs.enter", "atomic": True, "executor": "process"},
                "hold": "tests.chaos.jobs.hold",
                "fall": "tests.chaos.jobs.fall",
                "raise": {"run": "tests.chaos.jobs.raise_anything", "max_attempts": 2},
                "hang": {"run": "tests.chaos.jobs.hang", **HANGS},
                "hang_apart": {"run": "tests.chaos.jobs.hang", "executor": "process", **HANGS},
                "defy": {"run": "tests.chaos.jobs.defy", **HANGS},
                "block": "tests.chaos.jobs.block",
                "crunch": "tests.chaos.jobs.crunch",
                "spoil": "tests.chaos.jobs.spoil",
            },
        },
    },
    "schedules": {
        "every_second": {"queue": "chaos", "job": "work", "every_seconds": EVERY_SECONDS, "payload": {"seconds": 0.01}},
    },
}
