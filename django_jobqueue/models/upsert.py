"""Writing rows that may be there already."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from django.db import connections, models

M = TypeVar("M", bound=models.Model)


def upsert(
    rows: models.QuerySet[M], objects: Collection[M], *, unique_fields: Sequence[str], update_fields: Sequence[str]
) -> None:
    """Insert *objects*; of one that has the *unique_fields* of a row that is there, write the *update_fields* to that.

    MySQL takes every unique index for meant, and must not be told of one.
    """
    names_its_target = connections[rows.db].features.supports_update_conflicts_with_target
    rows.bulk_create(
        objects,
        update_conflicts=True,
        unique_fields=unique_fields if names_its_target else None,
        update_fields=update_fields,
    )
