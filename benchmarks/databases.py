"""The databases that a benchmark is run on: durable, and new each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.servers import PostgresServer

Environment = dict[str, str]
"""What ``benchmarks.settings`` reads."""


@contextmanager
def sqlite() -> Iterator[Environment]:
    """A file."""
    with TemporaryDirectory() as folder:
        yield {"BENCHMARK_DATABASE": "sqlite", "BENCHMARK_FILE": str(Path(folder) / "benchmark.sqlite3")}


@contextmanager
def postgresql() -> Iterator[Environment]:
    """A server with fsync on."""
    with PostgresServer(fsync=True) as server:
        yield {
            "BENCHMARK_DATABASE": "postgresql",
            "BENCHMARK_HOST": str(server.folder),
            "BENCHMARK_PORT": str(server.port),
        }


DATABASES: dict[str, Callable[[], AbstractContextManager[Environment]]] = {"sqlite": sqlite, "postgresql": postgresql}
