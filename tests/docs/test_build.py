"""The documentation builds without a warning, and needs nothing from the network to be read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs._sphinx.options import SECTIONS, options_of
from tests.docs.pages import DOCS, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]  # no database is asked


def build(folder: Path) -> None:
    for needed in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(needed, reason="needs the dependency group docs")
    program = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", DOCS, folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert program.returncode == 0, program.stderr


# One test: several would run in several workers of xdist, each of which would build the pages.
def test_each_page_is_built_has_a_link_to_each_option_and_fetches_nothing_from_elsewhere(tmp_path: Path) -> None:
    build(tmp_path)
    pages = {page.stem: page.read_text(encoding="utf-8") for page in tmp_path.glob("*.html")}

    assert {page.stem for page in DOCS.glob("*.md")} <= set(pages)
    for section in SECTIONS:
        for option in options_of(section):
            assert f'id="{section}-{option.name.replace("_", "-")}"' in pages["settings"]
    for name, html in pages.items():
        assert not re.search(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//', html), name
        assert not re.search(r'<link[^>]+rel="stylesheet"[^>]+href="(?:https?:)?//', html), name
