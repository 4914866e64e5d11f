"""The project that the acceptance tests start workers in: leases are short, so that crashes show soon."""

from __future__ import annotations

from tests.program_settings import *  # noqa: F403

LEASE_SECONDS = 2.0

JOBQUEUE = {
    "worker": {"lease_seconds": LEASE_SECONDS, "poll_seconds": 0.1},
    "queues": {"notifications": {"jobs": {"record": "tests.shop.jobs.record"}}},
}
