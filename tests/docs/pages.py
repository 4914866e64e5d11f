"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

FENCED = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$", flags=re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    line: int
    """The line of the page that the text begins on."""


def pages() -> list[Path]:
    """Every page, README first."""
    return [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of *page* that name a language, in order."""
    text = page.read_text(encoding="utf-8")
    for found in FENCED.finditer(text):
        yield Block(
            language=found["language"],
            text=dedent(found["text"]),
            line=text.count("\n", 0, found.start("text")) + 1,
        )
