"""The project whose limits worker processes race for: one queue for each kind of limit, none of them held by another."""

from __future__ import annotations

from tests.settings import *  # noqa: F403

TURN = {"take_turn": "tests.shop.jobs.take_turn"}

MOST = {"of_a_queue": 3, "of_a_job": 2, "of_a_key": 1, "in_order": 1}
"""How many runs of each queue may be running at once; in the last two, of each key."""

STARTS = 10
"""How many runs of queue ``at_a_rate`` may start today."""

JOBQUEUE = {
    "worker": {"lease_seconds": 4.0, "poll_seconds": 0.1},
    "queues": {
        "of_a_queue": {"concurrent_jobs": MOST["of_a_queue"], "jobs": TURN},
        "of_a_job": {"jobs": {"take_turn": {"run": TURN["take_turn"], "concurrent_jobs": MOST["of_a_job"]}}},
        "of_a_key": {"concurrent_jobs_per_key": MOST["of_a_key"], "jobs": TURN},
        "in_order": {"concurrent_jobs_per_key": MOST["in_order"], "keep_order": True, "jobs": TURN},
        "at_a_rate": {"rate_limit": "1/d", "rate_burst": STARTS, "jobs": TURN},
    },
}
