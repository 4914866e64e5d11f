"""What is encoded comes back equal, and of the same types; what is refused, is named."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import math
import pathlib
import types
import uuid
from collections import OrderedDict, namedtuple
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from django_jobqueue.errors import PayloadError
from django_jobqueue.payloads import decode_json, encode_json

pytestmark = pytest.mark.sqlite  # no database is asked

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
JSON_VALUES = st.recursive(SCALARS | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=10)

ROOMY = 1_000_000


class Colour(enum.Enum):
    RED = "red"


class Size(enum.StrEnum):
    LARGE = "large"


class Level(enum.IntEnum):
    HIGH = 3


class Silent:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


Point = namedtuple("Point", "x y")


def nested(depth: int) -> list[Any]:
    """Return *depth* lists, each in the one before."""
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def typed(value: Any) -> Any:
    """Return *value* with the type of every part of it, for 1 == 1.0 == True."""
    if isinstance(value, dict):
        return dict, {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return list, [typed(item) for item in value]
    return type(value), repr(value)


def encode(payload: Any, *, max_bytes: int) -> str:
    return encode_json(payload, root="payload", max_bytes=max_bytes)


def refusal(payload: Any, max_bytes: int = ROOMY) -> str:
    with pytest.raises(PayloadError) as caught:
        encode(payload, max_bytes=max_bytes)
    return str(caught.value)


@given(st.dictionaries(TEXT, JSON_VALUES, max_size=4))
def test_what_is_encoded_comes_back_equal_and_of_the_same_types(payload: dict[str, Any]) -> None:
    text = encode(payload, max_bytes=ROOMY)

    assert typed(json.loads(text)) == typed(payload)


@given(st.dictionaries(TEXT, JSON_VALUES, max_size=4), st.integers(2, 60))
def test_the_size_is_exactly_that_of_the_text_in_utf8(payload: dict[str, Any], max_bytes: int) -> None:
    plain = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    assume("e+" not in plain)  # written out, it takes more
    size = len(plain.encode())

    if size <= max_bytes:
        encode(payload, max_bytes=max_bytes)
    else:
        assert f"{max_bytes} are allowed" in refusal(payload, max_bytes)


@given(st.recursive(SCALARS | TEXT | st.floats() | st.integers() | st.text() | st.binary(), st.lists, max_leaves=9))
def test_whatever_is_given_is_either_encoded_or_refused_as_a_payload_error(value: Any) -> None:
    try:
        text = encode({"value": value}, max_bytes=ROOMY)
    except PayloadError:
        return

    text.encode()
    assert json.loads(text) == {"value": value}


def test_the_text_is_compact_and_keeps_unicode() -> None:
    assert encode({"to": "Zoë", "ids": [1, 2]}, max_bytes=ROOMY) == '{"to":"Zoë","ids":[1,2]}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1, (2,)), "[1,[2]]"),
        (Point(1, 2), "[1,2]"),
        (OrderedDict(a=1), '{"a":1}'),
        (Size.LARGE, '"large"'),
        (Level.HIGH, "3"),
        (True, "true"),
        (None, "null"),
        (2**63 - 1, "9223372036854775807"),
        (-(2**63), "-9223372036854775808"),
        ("\\u0000", '"\\\\u0000"'),
        ("😀\x7f\x01", '"😀\x7f\\u0001"'),
        (1e15, "1000000000000000.0"),
        (1e16, "10000000000000000.0"),
        (-1.5e17, "-150000000000000000.0"),
        (1e23, "99999999999999991611392.0"),
        (1e-7, "1e-07"),
        (["1e+16", 1e16, "\\", '"1e+16', 2e16], r'["1e+16",10000000000000000.0,"\\","\"1e+16",20000000000000000.0]'),
        ({"1e+16": [1e16, 2e16]}, '{"1e+16":[10000000000000000.0,20000000000000000.0]}'),
    ],
)
def test_what_json_can_hold_is_accepted(value: Any, text: str) -> None:
    assert encode({"v": value}, max_bytes=ROOMY) == f'{{"v":{text}}}'


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "NaN is not JSON. Pass None, or text."),
        (math.inf, "Infinity is not JSON. Pass None, or text."),
        (-math.inf, "-Infinity is not JSON. Pass None, or text."),
        (2**63, "an integer beyond 64 bits does not survive every database. Pass it as text."),
        (-(2**63) - 1, "an integer beyond 64 bits does not survive every database. Pass it as text."),
        pytest.param(
            10**5000,
            "an integer beyond 64 bits does not survive every database. Pass it as text.",
            id="more-digits-than-python-prints",
        ),
        ("a\0b", "'a\\x00b' contains NUL, which databases refuse. Remove it."),
        ("a\ud800", "'a\\ud800' contains a lone surrogate, which is not Unicode. Remove it."),
        (b"raw", "bytes is not JSON. Pass text; base64 can carry any bytes."),
        ({1}, "set is not JSON. Pass a sorted list."),
        (frozenset(), "frozenset is not JSON. Pass a sorted list."),
        (decimal.Decimal(1), "Decimal is not JSON. Pass it as text: str(value)."),
        (uuid.UUID(int=1), "UUID is not JSON. Pass it as text: str(value)."),
        (pathlib.PurePosixPath("/"), "PurePosixPath is not JSON. Pass it as text: str(value)."),
        (datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), "datetime is not JSON. Pass its isoformat()."),
        (datetime.date(2026, 1, 1), "date is not JSON. Pass its isoformat()."),
        (datetime.time(1), "time is not JSON. Pass its isoformat()."),
        (datetime.timedelta(1), "timedelta is not JSON. Pass its total_seconds()."),
        (Colour.RED, "Colour is not JSON. Pass its .value."),
        (types.MappingProxyType({}), "mappingproxy is not JSON. Pass a dict: dict(value)."),
        (iter([]), "list_iterator is not JSON. Pass a list: list(value)."),
        (Silent(), "Silent is not JSON. Pass text, numbers, booleans, None, lists and dicts."),
        (1j, "complex is not JSON. Pass text, numbers, booleans, None, lists and dicts."),
    ],
)
def test_what_is_not_portable_json_is_refused_with_its_place_and_advice(value: Any, message: str) -> None:
    assert refusal({"items": ["fine", None, 1, value]}) == f'payload["items"][3]: {message}'
    assert refusal({"deep": {"m": [[value]]}}) == f'payload["deep"]["m"][0][0]: {message}'


def test_a_model_instance_is_refused_with_the_advice_to_pass_its_key() -> None:
    from django.contrib.contenttypes.models import ContentType  # needs the app registry

    assert (
        refusal({"of": ContentType()})
        == 'payload["of"]: ContentType is not JSON. Pass its .pk, and load it in the job.'
    )


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (1, "the key 1 is not text. JSON has text keys only."),
        (None, "the key None is not text. JSON has text keys only."),
        (Silent(), "the key <Silent> is not text. JSON has text keys only."),
        ("a\0", "the key 'a\\x00' contains NUL, which databases refuse. Remove it."),
        ("\udfff", "the key '\\udfff' contains a lone surrogate, which is not Unicode. Remove it."),
    ],
)
def test_a_bad_key_is_refused_with_the_mapping_that_has_it(key: Any, message: str) -> None:
    assert refusal({key: 1}) == f"payload: {message}"
    assert refusal({"in": [{"fine": 1, key: 1}]}) == f'payload["in"][0]: {message}'


def test_an_int_key_does_not_swallow_the_text_key_of_the_same_digits() -> None:
    assert "the key 1 is not text" in refusal({"map": {1: "int", "1": "text"}})


def test_thirty_levels_are_accepted_and_one_more_is_refused() -> None:
    encode({"v": nested(29)}, max_bytes=ROOMY)

    assert "nesting deeper than 30 levels" in refusal({"v": nested(30)})
    assert "nesting deeper than 30 levels" in refusal({"v": nested(100_000)})


def test_a_value_that_contains_itself_is_refused() -> None:
    circle: dict[str, Any] = {}
    circle["again"] = [circle, circle]

    assert "nesting deeper than 30 levels" in refusal(circle)


def test_the_place_of_a_flaw_under_long_keys_is_cut() -> None:
    message = refusal({"k" * 5000: [math.nan]})

    assert message.startswith('payload["kkk')
    assert message.endswith("...: NaN is not JSON. Pass None, or text.")
    assert len(message) < 300


def test_a_payload_that_is_too_large_is_refused_with_both_sizes() -> None:
    payload = {"v": "é" * 100}

    assert encode(payload, max_bytes=208)
    assert refusal(payload, 207) == (
        "payload: takes 208 bytes as JSON, and 207 are allowed. Store it elsewhere and pass its key."
    )


def test_a_small_value_that_stands_for_endless_text_is_refused_at_once() -> None:
    bomb: list[Any] = ["x" * 50]
    for _ in range(20):
        bomb = [bomb] * 10

    message = refusal({"v": bomb}, 1000)  # to encode all of it would never end

    assert "takes more than 4000 bytes as JSON, and 1000 are allowed" in message


def test_any_json_value_can_be_a_result() -> None:
    assert encode_json(None, root="result", max_bytes=ROOMY) == "null"
    assert encode_json("é", root="result", max_bytes=4) == '"é"'
    assert encode_json((1, {"a": None}), root="result", max_bytes=ROOMY) == '[1,{"a":null}]'


@pytest.mark.parametrize(
    ("value", "message"),
    [(math.nan, "result: NaN is"), ([b""], "result[0]: bytes is"), ("long", "result: takes 6 bytes")],
)
def test_the_place_of_a_flaw_in_a_result_begins_with_its_root(value: Any, message: str) -> None:
    with pytest.raises(PayloadError) as caught:
        encode_json(value, root="result", max_bytes=5)

    assert str(caught.value).startswith(message)


# --- Text from outside -----------------------------------------------------------------------------------------------


@given(st.dictionaries(TEXT, JSON_VALUES, max_size=4))
def test_text_from_outside_is_read_as_json(payload: dict[str, Any]) -> None:
    assert typed(decode_json(json.dumps(payload), root="payload")) == typed(payload)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": {"c": 1, "d": 2, "c": 1}}', "body: the key 'c' stands twice in one mapping. Remove one."),
        ('{"a": }', "body: is not JSON. Expecting value: line 1 column 7 (char 6)."),
        ("", "body: is not JSON. Expecting value: line 1 column 1 (char 0)."),
        (b"\xff", "body: is not JSON. 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte."),
        ("[" * 100_000, "body: nesting deeper than 30 levels. Flatten it; if it contains itself, pass a copy."),
        ("9" * 5000, "body: is not JSON. Exceeds the limit (4300 digits) for integer string conversion"),
    ],
    ids=["twice", "broken", "empty", "not utf-8", "deep", "more digits than python reads"],
)
def test_text_from_outside_that_would_not_come_out_as_it_is_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(PayloadError) as caught:
        decode_json(text, root="body")

    assert str(caught.value).startswith(message)
