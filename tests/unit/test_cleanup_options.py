"""How long what is over is kept, as the settings say it."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from django_jobqueue.conf import Cleanup, ProjectCleanup, get_config
from django_jobqueue.errors import ConfigError

pytestmark = pytest.mark.sqlite  # no database is asked

DAY = 86400
WANTED = "must be a number from 0 to 3162240000"


def test_runs_are_kept_for_a_week_or_a_month_and_activities_for_a_year(settings: Settings) -> None:
    settings.JOBQUEUE = {}

    assert get_config().queues["default"].cleanup == Cleanup(
        completed_after_seconds=7 * DAY, failed_after_seconds=30 * DAY
    )
    assert get_config().cleanup == ProjectCleanup(activities_after_seconds=365 * DAY)


@pytest.mark.parametrize("seconds", [0, None, 1.5])
def test_zero_is_not_never(settings: Settings, seconds: float | None) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"cleanup": {"completed_after_seconds": seconds}}}}

    cleanup = get_config().queues["mail"].cleanup
    assert (cleanup.completed_after_seconds, cleanup.failed_after_seconds) == (seconds, 30 * DAY)


@pytest.mark.parametrize(
    ("cleanup", "told"),
    [
        ({"completed_after_seconds": -1}, f'["completed_after_seconds"]: {WANTED}, got -1'),
        ({"failed_after_seconds": "7d"}, f"[\"failed_after_seconds\"]: {WANTED}, got '7d'"),
        ({"failed_after_seconds": False}, f'["failed_after_seconds"]: {WANTED}, got False'),
        ({"failed_after": 1}, ": unknown option 'failed_after'. Did you mean 'failed_after_seconds'?"),
        (7, ": must be a mapping, got 7"),
    ],
)
def test_what_cannot_be_is_refused(settings: Settings, cleanup: Any, told: str) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"cleanup": cleanup}}}

    with pytest.raises(ConfigError) as caught:
        get_config()

    assert str(caught.value) == f'JOBQUEUE["queues"]["mail"]["cleanup"]{told}'
