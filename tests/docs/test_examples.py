"""Every example of the documentation works as it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from django_jobqueue.jobs import registry
from tests.docs.pages import pages
from tests.docs.reader import ExampleBroken, Reader


@pytest.fixture
def reader() -> Iterator[Reader]:
    with Reader() as reader:
        yield reader


@pytest.mark.django_db(transaction=True)  # workers see what is committed
@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_reader_who_follows_a_page_gets_what_it_says(page: Path, reader: Reader) -> None:
    reader.follow(page)

    assert list(registry.problems()) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("example", "told"),
    [
        ("```python\n1 / 0\n```\n", "page.md:4: ZeroDivisionError: division by zero"),
        ("```python\n1 +\n```\n", "page.md:4: SyntaxError: invalid syntax"),
        ("```python\nx = 1\nx  # -> 2\n```\n", "page.md:5: Unexpected: expected 2\n     got 1"),
        ("```python\nint('x')\n# raises KeyError: 'x'\n```\n", "page.md:4: Unexpected: expected KeyError"),
        ("```python\nint(1)\n# raises KeyError: 'x'\n```\n", "page.md:4: Unexpected: expected KeyError"),
        ('```python\n# settings.py\nJOBQUEUE = {"queus": {}}\n```\n', "page.md:4: ConfigError: JOBQUEUE: unknown"),
        ("```python\n# shop/jobs.py\n\nimport nothing\n```\n", "page.md:6: ModuleNotFoundError"),
        ("```console\n$ ls\n$ python manage.py runjobs nowhere\n```\n", "page.md:5: CommandError: 'nowhere' is not"),
        ("```console\n$ python manage.py runjobs\nall done\n```\n", "page.md:4: Unexpected: expected all done"),
    ],
)
def test_an_example_that_breaks_is_named_with_its_page_and_line(
    example: str, told: str, tmp_path: Path, reader: Reader
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{example}")

    with pytest.raises(ExampleBroken) as caught:
        reader.follow(page)

    assert told in str(caught.value)


@pytest.mark.django_db(transaction=True)
def test_the_blocks_of_a_page_are_one_session(tmp_path: Path, reader: Reader) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "- a list\n\n  ```python\n  # shop/prices.py\n  NET = 7\n  ```\n\n"
        "```python\nimport asyncio\nfrom shop.prices import NET\n```\n\n"
        "```python\ngross = await asyncio.sleep(0, NET * 2)\ngross  # -> 14\n```\n"
    )

    reader.follow(page)

    assert reader.session["gross"] == 14
