"""The same project, behind a pooler in transaction mode."""

from __future__ import annotations

from tests.chaos.settings import *  # noqa: F403

DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True  # type: ignore[index]  # noqa: F405
