"""The project whose limits worker processes race for: a queue for each kind, one for all together, one for operators."""

from __future__ import annotations

from tests.program_settings import *  # noqa: F403

TURN = {"take_turn": "tests.shop.jobs.take_turn"}

MOST = {
    "of_a_queue": 3,
    "of_a_job": 2,
    "of_a_key": 1,
    "in_order": 1,
    "of_all": 4,
    "of_all, its job": 3,
    "of_all, its key": 2,
}
"""How many runs of each queue may be running at once, or of each key of it."""

OPERATED = 2
"""How many of queue ``operated``, as long as no operator says otherwise."""

STARTS = {"at_a_rate": 10, "of_all": 15}
"""How many runs of a queue may start today."""

JOBQUEUE = {
    "worker": {"lease_seconds": 30.0, "poll_seconds": 0.1},
    "queues": {
        "of_a_queue": {"concurrent_jobs": MOST["of_a_queue"], "jobs": TURN},
        "of_a_job": {"jobs": {"take_turn": {"run": TURN["take_turn"], "concurrent_jobs": MOST["of_a_job"]}}},
        "of_a_key": {"concurrent_jobs_per_key": MOST["of_a_key"], "jobs": TURN},
        "in_order": {"concurrent_jobs_per_key": MOST["in_order"], "keep_order": True, "jobs": TURN},
        "at_a_rate": {"rate_limit": "1/d", "rate_burst": STARTS["at_a_rate"], "jobs": TURN},
        "of_all": {
            "concurrent_jobs": MOST["of_all"],
            "concurrent_jobs_per_key": MOST["of_all, its key"],
            "rate_limit": "1/d",
            "rate_burst": STARTS["of_all"],
            "jobs": {
                "take_turn": {"run": TURN["take_turn"], "concurrent_jobs": MOST["of_all, its job"]},
                "take_another": TURN["take_turn"],
            },
        },
        "operated": {"concurrent_jobs": OPERATED, "jobs": TURN},
    },
}
