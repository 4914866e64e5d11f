"""The project that the acceptance tests start workers in."""

from __future__ import annotations

import os

from tests.program_settings import *  # noqa: F403

LEASE = "JOBQUEUE_TEST_LEASE"
"""The variable that says how many seconds leases last, to a worker that is to lose one by itself."""

LEASE_SECONDS = float(os.environ.get(LEASE, "30"))
"""So long that no worker loses a lease because a machine stalls."""

JOBQUEUE = {
    "worker": {"lease_seconds": LEASE_SECONDS, "poll_seconds": 0.1},
    "queues": {"notifications": {"jobs": {"record": "tests.shop.jobs.record"}}},
}
