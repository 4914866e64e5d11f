"""Pytest finds the fixtures by itself."""

from __future__ import annotations

import tomllib
from importlib import import_module
from types import ModuleType

import pytest

from django_jobqueue import job, queues, testing
from tests.docs.pages import ROOT


@pytest.fixture
def calls() -> list[str]:
    """What the job ``note`` was called with."""
    calls: list[str] = []

    @job
    def note(word: str) -> None:
        calls.append(word)

    return calls


def test_jobqueue_is_the_module_and_opens_the_database(jobqueue: ModuleType, calls: list[str]) -> None:
    queues.default.add("note", {"word": "drained"})
    jobqueue.assert_added("note", {"word": "drained"})
    jobqueue.drain()

    assert jobqueue is testing
    assert calls == ["drained"]


@pytest.mark.usefixtures("jobqueue_inline")
def test_jobqueue_inline_works_what_the_test_adds(calls: list[str]) -> None:
    queues.default.add("note", {"word": "inline"})

    assert calls == ["inline"]


def test_the_package_tells_pytest_of_them() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        [module] = tomllib.load(file)["project"]["entry-points"]["pytest11"].values()

    assert import_module(module).jobqueue.__doc__


def test_every_name_is_there_and_no_other() -> None:
    assert sorted(testing.__all__) == [name for name in testing.__all__ if hasattr(testing, name)]
    with pytest.raises(AttributeError, match="has no attribute 'drian'"):
        testing.drian  # noqa: B018
