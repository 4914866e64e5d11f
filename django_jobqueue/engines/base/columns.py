"""What a document says of an item."""

from __future__ import annotations

from typing import Any

from django_jobqueue.engines.base.inserting import NewRun
from django_jobqueue.engines.base.schedules import Advance
from django_jobqueue.engines.base.settling import Settlement


def columns(item: NewRun | Settlement | Advance) -> dict[str, Any]:
    """The fields of *item* that are set, by name: what a document does not say is NULL."""
    return {name: value for name in item.__slots__ if (value := getattr(item, name)) is not None}
