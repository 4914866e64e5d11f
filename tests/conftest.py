from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from django.db import connection
from django.test import TransactionTestCase

from tests.emptying import empty_tables
from tests.listening import Listener

# A busy machine is no failure. Others are drawn each time, and the suite runs on two databases and two Pythons.
busy: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("suite", max_examples=50, **busy)
hypothesis.settings.register_profile("thorough", max_examples=3000, **busy)
hypothesis.settings.load_profile("suite")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that is marked for other databases only."""
    vendors = {mark.name for mark in item.iter_markers() if mark.name in {"mysql", "postgresql", "sqlite"}}
    if vendors and connection.vendor not in vendors:
        pytest.skip(f"only on {' and '.join(sorted(vendors))}")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """Tell the programs that tests start which project they are, and which database the test database is.

    PostgreSQL drops it when nobody is connected any more, and waits for no more than 5 s: so wait for those who linger.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_SETTINGS_MODULE", "tests.program_settings")
        patch.setenv("JOBQUEUE_TEST_DATABASE_NAME", str(connection.settings_dict["NAME"]))
        yield
    for thread in threading.enumerate():
        if thread.name == "jobqueue-publisher":
            thread.join(60)


@pytest.fixture(scope="session", autouse=True)
def _empty_tables_fast() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty_tables)
        yield


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Listens to all events, until the test ends."""
    listener = Listener()
    listener.connect()
    yield listener
    listener.disconnect()
