"""What encode() accepts comes back equal; what it refuses, it names. Parameters tell what a function takes."""

from __future__ import annotations

import datetime
import decimal
import enum
import functools
import json
import math
import pathlib
import time
import types
import uuid
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobqueue.errors import PayloadError
from django_jobqueue.payloads import Parameters, encode, encode_json

if TYPE_CHECKING:
    from nowhere import Unimportable  # type: ignore[import-not-found]

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
JSON_VALUES = st.recursive(SCALARS | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)

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


def refusal(payload: Any, max_bytes: int = ROOMY) -> str:
    with pytest.raises(PayloadError) as caught:
        encode(payload, max_bytes=max_bytes)
    return str(caught.value)


# --- encode --------------------------------------------------------------------------------------------------------


@given(st.dictionaries(TEXT, JSON_VALUES))
def test_what_is_encoded_comes_back_equal_and_of_the_same_types(payload: dict[str, Any]) -> None:
    text = encode(payload, max_bytes=ROOMY)

    assert typed(json.loads(text)) == typed(payload)


@given(st.dictionaries(TEXT, JSON_VALUES), st.integers(2, 60))
def test_the_size_is_exactly_that_of_the_text_in_utf8(payload: dict[str, Any], max_bytes: int) -> None:
    size = len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())

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


def test_no_payload_is_an_empty_one() -> None:
    assert encode(None, max_bytes=1) == "{}"


def test_a_mapping_that_is_not_a_dict_is_a_payload() -> None:
    assert encode(types.MappingProxyType({"a": 1}), max_bytes=ROOMY) == '{"a":1}'


@pytest.mark.parametrize("payload", [[1], "text", 7, {1}, object()], ids=lambda payload: type(payload).__name__)
def test_a_payload_that_is_not_a_mapping_is_refused(payload: Any) -> None:
    assert refusal(payload) == (
        f"payload: must be a mapping of argument names to values, got {type(payload).__name__}."
    )


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
    began = time.monotonic()

    message = refusal({"v": bomb}, 1000)

    assert "takes more than 4000 bytes as JSON, and 1000 are allowed" in message
    assert time.monotonic() - began < 5


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


# --- Parameters ----------------------------------------------------------------------------------------------------


def mail(to: str, subject: str = "", *, copies: int = 1) -> None: ...


async def amail(to: str, subject: str = "", *, copies: int = 1) -> None: ...


def mail_with_run(to: str, *, run: object) -> None: ...


def mail_whole(payload: dict[str, Any]) -> None: ...


def mail_whole_with_run(payload: dict[str, Any], run: object) -> None: ...


def mail_anything(to: str, **rest: object) -> None: ...


def annotated_with_what_cannot_be_imported(to: Unimportable) -> Unimportable: ...


def decorated(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)

    return wrapper


class Mailer:
    def __call__(self, to: str, subject: str = "", *, copies: int = 1) -> None: ...

    def send(self, to: str, subject: str = "", *, copies: int = 1) -> None: ...

    @classmethod
    def send_all(cls, to: str, subject: str = "", *, copies: int = 1) -> None: ...


def unfit(function: Callable[..., Any], payload: dict[Any, Any]) -> str:
    with pytest.raises(PayloadError) as caught:
        Parameters.of(function).check(payload)
    return str(caught.value)


@pytest.mark.parametrize(
    "function",
    [
        mail,
        amail,
        Mailer(),
        Mailer().send,
        Mailer.send_all,
        pytest.param(decorated(mail), id="decorated"),
        functools.partial(mail),
        functools.partial(mail, subject="Hello"),
        functools.partial(functools.partial(decorated(mail), copies=2), subject="Hello"),
    ],
)
def test_every_kind_of_callable_is_understood(function: Callable[..., Any]) -> None:
    parameters = Parameters.of(function)

    assert parameters.problems() == []
    assert parameters.required == ("to",)
    assert set(parameters.optional) == {"subject", "copies"}
    parameters.check({"to": "a", "copies": 2})


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (mail, "mail"),
        (functools.partial(mail), "mail"),
        (decorated(mail), "mail"),
        (Mailer().send, "send"),
        (Mailer(), "Mailer"),
    ],
    ids=["function", "partial", "decorated", "method", "object"],
)
def test_messages_name_the_function(function: Callable[..., Any], name: str) -> None:
    assert unfit(function, {}) == f"payload: does not fit {name}(). 'to' is missing."


def test_an_argument_that_a_partial_has_given_by_position_is_no_parameter() -> None:
    assert Parameters.of(functools.partial(mail, "a")).required == ()
    assert "'to' is not a parameter" in unfit(functools.partial(mail, "a"), {"to": "b"})


def test_annotations_are_not_evaluated() -> None:
    parameters = Parameters.of(annotated_with_what_cannot_be_imported)

    assert parameters.problems() == []
    assert parameters.required == ("to",)


def test_all_wrong_arguments_are_named_with_the_nearest_right_one() -> None:
    assert unfit(mail, {"too": "a", "subjct": "b"}) == (
        "payload: does not fit mail(). 'to' is missing. "
        "'too' is not a parameter. Did you mean 'to'? 'subjct' is not a parameter. Did you mean 'subject'?"
    )


def test_a_thousand_wrong_arguments_do_not_make_an_endless_message() -> None:
    message = unfit(mail, {"to": "a", **{f"wrong{number}": 1 for number in range(1000)}})

    assert message.count("is not a parameter") == 5


def test_a_key_that_is_not_text_is_no_argument() -> None:
    assert unfit(mail, {"to": "a", 10**5000: "b"}).endswith("<int> is not a parameter. Names are text.")


def test_a_function_with_keyword_arguments_takes_any_but_still_needs_its_own() -> None:
    Parameters.of(mail_anything).check({"to": "a", "whatever": 1})

    assert unfit(mail_anything, {"whatever": 1}) == "payload: does not fit mail_anything(). 'to' is missing."


def test_a_function_that_takes_the_whole_payload_takes_any() -> None:
    Parameters.of(mail_whole).check({"whatever": 1, "run": 2})


def test_the_run_is_not_asked_of_the_payload() -> None:
    Parameters.of(mail_with_run).check({"to": "a"})


def test_the_run_may_not_come_from_the_payload() -> None:
    def anything_with_run(run: object, **rest: object) -> None: ...

    flaw = "'run' is filled by the worker, and cannot be in the payload."

    assert unfit(mail_with_run, {"to": "a", "run": 1}) == f"payload: does not fit mail_with_run(). {flaw}"
    assert unfit(anything_with_run, {"run": 1}) == f"payload: does not fit anything_with_run(). {flaw}"


def test_a_function_without_a_parameter_run_may_not_be_given_one() -> None:
    assert "'run' is not a parameter" in unfit(mail, {"to": "a", "run": 1})


@pytest.mark.parametrize(
    ("function", "bound"),
    [
        (mail, {"to": "a"}),
        (mail_with_run, {"to": "a", "run": "the run"}),
        (mail_whole, {"payload": {"to": "a"}}),
        (mail_whole_with_run, {"payload": {"to": "a"}, "run": "the run"}),
        (mail_anything, {"to": "a"}),
    ],
)
def test_a_payload_is_bound_to_the_arguments_of_the_call(function: Callable[..., Any], bound: dict[str, Any]) -> None:
    payload = {"to": "a"}

    arguments = Parameters.of(function).bind(payload, "the run")

    assert arguments == bound
    assert payload == {"to": "a"}
    function(**arguments)


def test_positional_only_and_starred_parameters_are_problems() -> None:
    def flawed(a: int, /, *rest: int) -> None: ...

    assert Parameters.of(flawed).problems() == [
        "Parameter 'a' is positional-only, but arguments go by name. Remove the '/' after it.",
        "'*rest' would never get anything, for arguments go by name. Remove it.",
    ]


def test_beside_the_whole_payload_there_may_only_be_the_run() -> None:
    def colliding(payload: object, to: str, run: object, **rest: object) -> None: ...

    def colliding_with_the_rest(payload: object, **run: object) -> None: ...

    assert Parameters.of(mail_whole_with_run).problems() == []
    assert Parameters.of(colliding).problems() == [
        "Parameter 'payload' takes the whole payload, which leaves nothing for 'to', 'rest'. Rename it."
    ]
    assert Parameters.of(colliding_with_the_rest).problems() == [
        "Parameter 'payload' takes the whole payload, which leaves nothing for 'run'. Rename it."
    ]


@pytest.mark.parametrize("unreadable", [dict, "not callable"], ids=str)
def test_what_has_no_signature_is_a_problem_and_not_an_exception(unreadable: Any) -> None:
    assert Parameters.of(unreadable).problems() == [
        "Python cannot tell its parameters. Wrap it in a function that is written in Python."
    ]
