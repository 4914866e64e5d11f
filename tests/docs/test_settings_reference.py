"""The settings reference has every option, because it is made from the code that reads them."""

from __future__ import annotations

import re

import pytest

from django_jobqueue.conf.options import BACKOFF_PARSERS, parsers_of
from docs._sphinx.options import SECTIONS, options_of
from tests.docs.pages import DOCS

pytestmark = pytest.mark.sqlite  # no database is asked

PAGE = (DOCS / "settings.md").read_text(encoding="utf-8")


def test_the_page_has_every_section() -> None:
    assert set(re.findall(r"^```\{jobqueue-options\} (\S+)$", PAGE, re.MULTILINE)) == set(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_has_every_option_that_is_read_there(section: str) -> None:
    read = BACKOFF_PARSERS if section == "backoff" else parsers_of(SECTIONS[section])

    assert {option.name for option in options_of(section)} == set(read)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_option_says_what_it_means(section: str) -> None:
    for option in options_of(section):
        assert option.type
        assert option.default
        assert option.meaning.endswith(".")
        assert option.meaning.count("``") % 2 == 0


def test_an_option_is_shown_as_one_writes_it() -> None:
    shown = {option.name: (option.type, option.default) for option in options_of("job")}

    assert shown["max_attempts"] == ("int", "3")
    assert shown["delivery"] == ('"at_least_once" | "at_most_once"', '"at_least_once"')
