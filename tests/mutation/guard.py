"""A guard: some characters of our source without which a run may be lost, or be worked or finished twice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Guard:
    """Where it stands, and who misses it."""

    file: str
    """In ``django_jobqueue``."""
    text: str
    """The guard between « and », with as much around it as makes it the only one of the file. Any white space is like any
    other."""
    instead: str
    """What is put in its place."""
    tests: str
    """What pytest is to run, in ``tests``."""
    why: str
    """What it is there for."""
    database: str = "sqlite"
    """The one on which it is missed."""

    def __str__(self) -> str:
        return f"{self.file}: {self.why}"

    @property
    def path(self) -> str:
        return f"django_jobqueue/{self.file}"

    @property
    def node_ids(self) -> list[str]:
        return [f"tests/{test}" for test in self.tests.split()]

    def without(self, source: str) -> str:
        """The *source* of the file, without the guard. Raises ValueError, if that is not there, or not once."""
        before, guard, after = map(_any_space, re.split("[«»]", self.text))
        [found] = re.finditer(f"({before})({guard})({after})", source)
        return source[: found.start(2)] + self.instead + source[found.end(2) :]


def _any_space(text: str) -> str:
    return r"\s+".join(map(re.escape, re.split(r"\s+", text)))
