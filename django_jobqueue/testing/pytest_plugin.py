"""Fixtures for pytest, which finds them by the entry point of this package. They need pytest-django."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from django_jobqueue import testing


@pytest.fixture
def jobqueue(db: None) -> ModuleType:
    """``django_jobqueue.testing``, for a test that may use the database."""
    return testing


@pytest.fixture
def jobqueue_inline(db: None) -> Iterator[None]:
    """What the test adds is worked at once; see ``django_jobqueue.testing.inline``."""
    with testing.inline():
        yield
