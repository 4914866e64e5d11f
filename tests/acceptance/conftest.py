from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from pytest_django import Settings

from tests.acceptance import settings as acceptance_settings
from tests.acceptance.programs import Effects, WorkerProcess

StartWorker: TypeAlias = Callable[..., WorkerProcess]


@pytest.fixture
def project(settings: Settings, transactional_db: None) -> None:
    """Let the test itself be in the project that its workers work for."""
    settings.JOBQUEUE = acceptance_settings.JOBQUEUE


@pytest.fixture
def effects(tmp_path: Path) -> Effects:
    return Effects(tmp_path)


@pytest.fixture
def start_worker(tmp_path: Path, project: None) -> Iterator[StartWorker]:
    """Start ``runjobs`` with the given arguments; it ends with the test."""
    with ExitStack() as programs:

        def start_worker(*arguments: str, **options: Any) -> WorkerProcess:
            return programs.enter_context(WorkerProcess(arguments, tmp_path, **options))

        yield start_worker
