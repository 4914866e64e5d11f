"""The same project, worked by those whose settlements ask for no attempt number."""

from __future__ import annotations

from tests.chaos.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos.unfenced.UnfencedConfig"]  # noqa: F405
