"""The documentation builds without a warning, and needs nothing from the network to be read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs._sphinx.options import SECTIONS, options_of
from tests.docs.pages import DOCS, ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built pages."""
    for needed in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(needed, reason="needs the dependency group docs")
    folder = tmp_path_factory.mktemp("docs")
    program = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", DOCS, folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert program.returncode == 0, program.stderr
    return folder


@pytest.mark.slow
@pytest.mark.sqlite  # no database is asked
def test_each_page_is_built(built: Path) -> None:
    assert {page.stem for page in DOCS.glob("*.md")} <= {page.stem for page in built.glob("*.html")}


@pytest.mark.slow
@pytest.mark.sqlite  # no database is asked
@pytest.mark.parametrize("section", SECTIONS)
def test_each_option_can_be_linked_to(section: str, built: Path) -> None:
    html = (built / "settings.html").read_text(encoding="utf-8")

    for option in options_of(section):
        assert f'id="{section}-{option.name.replace("_", "-")}"' in html


@pytest.mark.slow
@pytest.mark.sqlite  # no database is asked
def test_pages_fetch_nothing_from_elsewhere(built: Path) -> None:
    for page in built.glob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert not re.search(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//', html), page.name
        assert not re.search(r'<link[^>]+rel="stylesheet"[^>]+href="(?:https?:)?//', html), page.name
