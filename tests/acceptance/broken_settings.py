"""Settings with two mistakes."""

from __future__ import annotations

from tests.program_settings import *  # noqa: F403

JOBQUEUE = {"worker": {"concurency": 4}, "queues": {"mail": {"lease_seconds": "long"}}}
