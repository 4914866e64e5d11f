"""What is secret in a payload is shown with stars, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.views.debug import SafeExceptionReporterFilter, get_default_exception_reporter_filter
from pytest_django import Settings

from django_jobqueue.jobs import Secrets, redacted

pytestmark = pytest.mark.sqlite  # no database is asked

STARS = "********************"


@pytest.mark.parametrize(
    ("fields", "payload", "shown"),
    [
        ((), {"order": 7, "to": "ada"}, {"order": 7, "to": "ada"}),
        ((), {"password": "x", "api_key": 1, "Auth": None}, {"password": STARS, "api_key": STARS, "Auth": STARS}),
        ((), {"a": [{"b": {"token": "x", "c": 1}}]}, {"a": [{"b": {"token": STARS, "c": 1}}]}),
        ((), {"secret": {"a": [1, 2]}}, {"secret": STARS}),
        ((), ["a", {"passwd": "x"}], ["a", {"passwd": STARS}]),
        (("pin",), {"pin": 1234, "pins": 1}, {"pin": STARS, "pins": 1}),
        (("card.number",), {"card": {"number": "4", "year": 30}}, {"card": {"number": STARS, "year": 30}}),
        (("cards.number",), {"cards": [{"number": "4"}, {"no": 1}]}, {"cards": [{"number": STARS}, {"no": 1}]}),
        (("a.b.c",), {"a": [[{"b": {"c": [1]}}]]}, {"a": [[{"b": {"c": STARS}}]]}),
        (("card.number",), {"card": "4111"}, {"card": STARS}),
        (("card.number",), {"card": None, "cards": ["4"]}, {"card": STARS, "cards": ["4"]}),
        (("card",), {}, {}),
        (("card", "pin"), {"card": 1, "pin": 2, "to": 3}, {"card": STARS, "pin": STARS, "to": 3}),
    ],
)
def test_a_payload_keeps_its_shape(fields: tuple[str, ...], payload: Any, shown: Any) -> None:
    assert Secrets(fields).redacted(payload) == shown


def test_the_payload_itself_is_left_alone() -> None:
    payload = {"card": {"number": "4111"}, "password": "x", "items": [{"token": "y"}]}
    Secrets(("card.number",)).redacted(payload)

    assert payload == {"card": {"number": "4111"}, "password": "x", "items": [{"token": "y"}]}


def test_everything_is_secret_where_nobody_knows_what_is() -> None:
    payload = {"order": 7, "lines": [{"price": 1.5}, None], "paid": True}

    assert Secrets(everything=True).redacted(payload) == {
        "order": STARS,
        "lines": [{"price": STARS}, STARS],
        "paid": STARS,
    }


@pytest.mark.parametrize("value", [None, 7, "text", [], {}, [1, [2]]])
def test_a_value_without_keys_is_shown(value: Any) -> None:
    assert redacted(value) == value


class ShopFilter(SafeExceptionReporterFilter):
    cleansed_substitute = "(hidden)"

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        return self.cleansed_substitute if key == "iban" else super().cleanse_setting(key, value)


@pytest.fixture
def shop_filter(settings: Settings) -> Iterator[None]:
    """The project says itself what its error reports hide."""
    settings.DEFAULT_EXCEPTION_REPORTER_FILTER = f"{__name__}.ShopFilter"
    cached: Any = get_default_exception_reporter_filter
    cached.cache_clear()
    yield
    cached.cache_clear()


@pytest.mark.usefixtures("shop_filter")
def test_the_filter_of_the_project_decides() -> None:
    payload = {"iban": "DE02120300000000202051", "token": "t0k3n", "to": "ada", "deep": [{"iban": "x"}]}

    assert Secrets(("to",)).redacted(payload) == {
        "iban": "(hidden)",
        "token": "(hidden)",
        "to": "(hidden)",
        "deep": [{"iban": "(hidden)"}],
    }
    assert Secrets().scrubbed("DE02120300000000202051 is wrong", payload) == "(hidden) is wrong"


AWKWARD = 'it\'s "5 €"\\\n& more'


@pytest.mark.parametrize(
    "text",
    [
        AWKWARD,
        repr(AWKWARD),
        f"{AWKWARD!r} is wrong",
        '"it\'s \\"5 \\u20ac\\"\\\\\\n& more"',
        '"it\'s \\"5 €\\"\\\\\\n& more"',
        "https://x/?q=it%27s%20%225%20%E2%82%AC%22%5C%0A%26%20more&a=1",
        "https://x/?q=it%27s+%225+%E2%82%AC%22%5C%0A%26+more&a=1",
        'it\'s "5 €"\\ & more',
        '  | it\'s "5 €"\\\n  | & more',
    ],
)
def test_a_value_is_found_however_a_text_writes_it(text: str) -> None:
    scrubbed = Secrets().scrubbed(text, {"password": AWKWARD})

    assert STARS in scrubbed
    assert "5" not in scrubbed
    assert "more" not in scrubbed


@pytest.mark.parametrize(
    ("payload", "text", "scrubbed"),
    [
        ({"pin": 123456}, "no 123456 here", f"no {STARS} here"),
        ({"pin": 12.75}, "no 12.75 here", f"no {STARS} here"),
        ({"pin": ["4111", {"a": "5222"}]}, "4111 and 5222", f"{STARS} and {STARS}"),
        ({"pin": "abcd", "to": "wxyz"}, "abcd for wxyz", f"{STARS} for wxyz"),
        ({"pin": "abcd"}, "abcdabcd, abc", f"{STARS}{STARS}, abc"),
        ({"pin": ["abcd", "abcdef"]}, "abcdef abcde", f"{STARS} {STARS}e"),
        ({"pin": "abc"}, "abc is too short to be told from words", "abc is too short to be told from words"),
        ({"pin": None}, "None", "None"),
        ({"pin": True}, "True", "True"),
        ({}, "text", "text"),
        (None, "text", "text"),
        ({"pin": "0123456789abcdefghijklmnop"}, "'0123456789abcdefghijk...'", f"'{STARS}...'"),
        ({"pin": "0123456789abcdefghijklmnop"}, "'0123456789...'", "'0123456789...'"),
        ({"pin": ["0123456789abcdef-one", "0123456789abcdef-two"]}, "0123456789abcdef-tw", STARS),
    ],
)
def test_a_text_loses_the_secret_values_only(payload: Any, text: str, scrubbed: str) -> None:
    assert Secrets(("pin",)).scrubbed(text, payload) == scrubbed


@dataclass
class Card:
    number: str
    password: str


def test_what_is_no_json_yet_is_looked_through_too() -> None:
    circle: dict[str, Any] = {"token": "abcdef"}
    circle["circle"] = circle

    assert Secrets(("number",)).scrubbed("4111 x abcdef", Card("4111", "abcdef")) == f"{STARS} x {STARS}"
    assert Secrets(("card.number",)).scrubbed("4111", {"card": Card("4111", "")}) == STARS
    assert Secrets().scrubbed("abcdef", circle) == STARS
    assert Secrets().scrubbed("abcdef", {"token": 10**6000}) == "abcdef"


def test_many_secrets_take_no_time_to_speak_of() -> None:
    tokens = [f"tok_{number:06}" for number in range(20_000)]
    text = "\n".join(tokens[:4000])

    assert Secrets().scrubbed(text, {"tokens": {"api_key": tokens}}) == "\n".join([STARS] * 4000)
