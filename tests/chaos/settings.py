"""The project that chaos is let loose on: leases are as short as they can be, so that faults show soon."""

from __future__ import annotations

from tests.settings import *  # noqa: F403

LEASE_SECONDS = 1.0

JOBQUEUE = {
    "worker": {"lease_seconds": LEASE_SECONDS, "poll_seconds": 0.1, "concurrency": 4},
    "queues": {
        "chaos": {
            "backoff": {"mode": "fixed", "initial_seconds": 0, "jitter": 0},
            "jobs": {
                "work": "tests.chaos.jobs.work",
                "once": {"run": "tests.chaos.jobs.work", "delivery": "at_most_once"},
                "apart": {"run": "tests.chaos.jobs.work", "executor": "process"},
                "fall": "tests.chaos.jobs.fall",
                "raise": {"run": "tests.chaos.jobs.raise_anything", "max_attempts": 2},
            },
        },
    },
}
