"""The project of the acceptance tests, where moments have no time zone: USE_TZ is False."""

from __future__ import annotations

import os

from tests.acceptance.settings import *  # noqa: F403

USE_TZ = False
TIME_ZONE = os.environ["JOBQUEUE_TEST_TIME_ZONE"]
