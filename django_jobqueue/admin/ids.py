"""Ids, as they come in addresses and forms: text that may be anything."""

from __future__ import annotations

from collections.abc import Iterable

from django_jobqueue.operations.selection import parsed_id


def parsed_ids(texts: Iterable[str]) -> list[int]:
    """Those of *texts* that can be ids."""
    return [number for text in texts if (number := parsed_id(text)) is not None]


def words(search: str) -> list[str]:
    """What somebody typed who looks for ids, with spaces or commas between them."""
    return search.replace(",", " ").split()
