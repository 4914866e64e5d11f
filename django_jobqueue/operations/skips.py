"""The record of due times that made no run: one row for all that follow each other for the same reason."""

from __future__ import annotations

from collections.abc import Iterable

from django_jobqueue.conf import get_config
from django_jobqueue.models import Schedule, Skip
from django_jobqueue.models.fields import as_stored
from django_jobqueue.models.upsert import upsert
from django_jobqueue.rhythm import Span
from django_jobqueue.states import SkipReason


def skip(schedule: Schedule, span: Span, reason: SkipReason, error: str | None = None) -> Skip:
    """Note in a row, which is not saved, that due times make no run; return what is to be recorded of it."""
    if schedule.skipped_since is None or schedule.skip_reason != reason:
        schedule.skipped_since, schedule.skip_reason, schedule.skipped = as_stored(span.first_at), reason.value, 0
    schedule.skipped += span.number
    schedule.accounted_until = as_stored(span.last_at)
    return Skip(
        schedule_id=schedule.pk,
        first_at=schedule.skipped_since,
        last_at=schedule.accounted_until,
        number=schedule.skipped,
        reason=reason.value,
        error=error,
    )


def record_skips(skips: Iterable[Skip]) -> None:
    """Write *skips*: each a new row, or as the row that it goes on from is from now on."""
    latest = {(each.schedule_id, each.first_at): each for each in skips}
    upsert(
        Skip.objects.using(get_config().database),
        latest.values(),
        unique_fields=["schedule", "first_at"],
        update_fields=["last_at", "number", "error"],
    )
