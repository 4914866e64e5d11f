"""The same project, worked by those who break the rules."""

from __future__ import annotations

import os

from tests.acceptance.broken.apps import LEFT_OUT
from tests.acceptance.limited_settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.acceptance.broken"]  # noqa: F405

JOBQUEUE["queues"]["in_order"].pop(os.environ[LEFT_OUT], None)  # type: ignore[index]  # noqa: F405
