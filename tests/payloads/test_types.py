"""Annotated parameters: what is added is stored as JSON, arrives as its type, or is refused with its place.

None of it depends on pydantic: ``test_without_pydantic`` runs all of it again where there is none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from datetime import timezone as fixed_offset
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, TypedDict
from uuid import UUID

import pytest

from django_jobqueue.errors import PayloadError
from django_jobqueue.payloads import PayloadSchema
from tests.payloads.records import Address, Colour, Contact, Item, Level, Order, Size, Sku, Tree

if TYPE_CHECKING:
    from nowhere import Unimportable  # type: ignore[import-not-found]

pytestmark = pytest.mark.sqlite  # no database is asked

NOON = datetime(2026, 5, 17, 12, 0, 0, 250, tzinfo=fixed_offset(timedelta(hours=5, minutes=45)))
SKU = UUID("12345678-1234-5678-1234-567812345678")
ITEM = Item(SKU, NOON, Decimal("9.90"), quantity=3, notes=["é"])
ORDER = Order(
    id=7,
    placed_on=date(2026, 5, 17),
    items=[ITEM, replace(ITEM, colour=Colour.NONE)],
    ship_to={"street": "High St", "zip": None},
    window=(time(9), time(17, 30, 1)),
    grace=timedelta(days=-1, microseconds=1),
    level=Level.HIGH,
    mode=3,
    labels={"seen": [date(2026, 1, 1)]},
    extra={"any": [1.5, None]},
)
ITEM_FORM = {"sku": str(SKU), "due": NOON.isoformat(), "price": "9.90"}
ORDER_FORM = {"id": 7, "placed_on": "2026-05-17", "items": [ITEM_FORM], "ship_to": {"street": "High St"}}


def schema_of(annotation: Any) -> PayloadSchema:
    """The schema of a job with one parameter ``value``, of this annotation."""

    def job(value): ...  # type: ignore[no-untyped-def]

    job.__annotations__["value"] = annotation
    return PayloadSchema.of(job)


def stored(annotation: Any, value: Any) -> Any:
    return json.loads(schema_of(annotation).encode({"value": value}, max_bytes=10_000))["value"]


def arrived(annotation: Any, form: Any) -> Any:
    return schema_of(annotation).arguments({"value": json.loads(json.dumps(form))}, None)["value"]


def refused(annotation: Any, value: Any) -> str:
    """What is said of *value* when it is added; where it is JSON, the same is said of it before a run."""
    with pytest.raises(PayloadError) as caught:
        stored(annotation, value)
    told = str(caught.value)
    try:
        form = json.loads(json.dumps({"value": value}, allow_nan=False))
    except (TypeError, ValueError):
        return told
    if form == {"value": value}:
        with pytest.raises(PayloadError) as caught:
            schema_of(annotation).arguments(form, None)
        assert str(caught.value) == told
    return told


def typed(value: Any) -> Any:
    """*value* with the type of each part, for 1 == 1.0 == True."""
    match value:
        case dict():
            return dict, {key: typed(item) for key, item in value.items()}
        case list() | tuple():
            return type(value), [typed(item) for item in value]
        case _ if hasattr(value, "__dataclass_fields__"):
            return type(value), {name: typed(getattr(value, name)) for name in value.__dataclass_fields__}
    return type(value), value


@pytest.mark.parametrize(
    ("annotation", "value", "form"),
    [
        (int, 7, 7),
        (float, 1.5, 1.5),
        (float, 1e300, 1e300),
        (bool, True, True),
        (str, "é", "é"),
        (None, None, None),
        (Any, {"a": [1, None]}, {"a": [1, None]}),
        (object, [1.0], [1.0]),
        (datetime, NOON, "2026-05-17T12:00:00.000250+05:45"),
        (datetime, datetime(2026, 1, 1), "2026-01-01T00:00:00"),  # noqa: DTZ001
        (date, date(2026, 1, 1), "2026-01-01"),
        (time, time(23, 59, 59, 1), "23:59:59.000001"),
        (time, time(1, tzinfo=UTC), "01:00:00+00:00"),
        (timedelta, timedelta(days=999_999_999, seconds=86_399, microseconds=999_999), "P999999999DT23H59M59.999999S"),
        (timedelta, timedelta(microseconds=-1), "-P0DT00H00M00.000001S"),
        (UUID, SKU, str(SKU)),
        (Decimal, Decimal("1.50"), "1.50"),
        (Decimal, Decimal("-1E+40"), "-1E+40"),
        (Colour, Colour.BLUE, "blue"),
        (Colour, Colour.NONE, None),
        (Level, Level.HIGH, 3),
        (Size, Size.LARGE, "L"),
        (Literal["a", 1, None], 1, 1),
        (Literal[Colour.RED, "green"], Colour.RED, "red"),
        (Optional[int], None, None),  # noqa: UP045
        (int | None, 5, 5),
        (datetime | None, NOON, NOON.isoformat()),
        (Item | None, None, None),
        (int | str, "5", "5"),
        (int | float, 5, 5),
        (int | float | None, 5.0, 5.0),
        (float | list[UUID], [SKU], [str(SKU)]),
        (list, [1, "a"], [1, "a"]),
        (list[int], [1, 2], [1, 2]),
        (list[date], [date(2026, 1, 1)], ["2026-01-01"]),
        (Sequence[str], ["a"], ["a"]),
        (Iterable[str], ["a"], ["a"]),
        (tuple, (1, "a"), [1, "a"]),
        (tuple[int, ...], (1, 2), [1, 2]),
        (tuple[date, ...], (date(2026, 1, 1),), ["2026-01-01"]),
        (tuple[int, UUID], (1, SKU), [1, str(SKU)]),
        (dict, {"a": 1}, {"a": 1}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (Mapping[str, dict[str, UUID]], {"a": {"b": SKU}}, {"a": {"b": str(SKU)}}),
        (Sku, "s", "s"),
        (list[Sku | None], ["s", None], ["s", None]),
        (Address, {"street": "a", "zip": 5}, {"street": "a", "zip": 5}),
        (Address, {"street": "a"}, {"street": "a"}),
        (Contact, {"street": "a", "name": "b"}, {"street": "a", "name": "b"}),
        (Tree, Tree("a", [Tree("b")]), {"name": "a", "children": [{"name": "b", "children": []}]}),
        ("Tree | None", Tree("a"), {"name": "a", "children": []}),
        ("list[Address]", [{"street": "a"}], [{"street": "a"}]),
    ],
)
def test_a_value_is_stored_as_json_and_arrives_as_it_was(annotation: Any, value: Any, form: Any) -> None:
    assert typed(stored(annotation, value)) == typed(form)
    assert typed(arrived(annotation, form)) == typed(value)
    assert typed(stored(annotation, form)) == typed(form)


def test_a_nested_dataclass_arrives_as_it_was() -> None:
    form = stored(Order, ORDER)

    assert form["items"][1] == ITEM_FORM | {"quantity": 3, "colour": None, "notes": ["é"]}
    assert typed(arrived(Order, form)) == typed(ORDER)


def test_what_is_left_out_of_a_dataclass_stays_out_until_the_run_so_that_a_release_may_change_the_default() -> None:
    assert stored(Order, ORDER_FORM) == ORDER_FORM
    assert arrived(Order, ORDER_FORM).items[0].quantity == 1


@pytest.mark.parametrize(
    ("annotation", "value", "form", "arrives"),
    [
        (float, 1, 1, 1.0),
        (float | None, 1, 1, 1.0),
        (float, 2**60, 2**60, 2.0**60),
        (str, Size.LARGE, "L", "L"),
        (int, Level.HIGH, 3, 3),
        (list[int], (1, 2), [1, 2], [1, 2]),
        (tuple[int, ...], [1, 2], [1, 2], (1, 2)),
        (datetime, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        (UUID, SKU.hex, str(SKU), SKU),
        (Decimal, " 5.00", "5.00", Decimal("5.00")),
        (Decimal, 5, "5", Decimal(5)),
        (timedelta, "PT90M", "P0DT01H30M00S", timedelta(minutes=90)),
        (Tree, {"name": "a"}, {"name": "a"}, Tree("a")),
        (Annotated[int, "a remark"], 5, 5, 5),
    ],
)
def test_another_way_to_say_a_value_is_stored_in_its_one_form(
    annotation: Any, value: Any, form: Any, arrives: Any
) -> None:
    assert typed(stored(annotation, value)) == typed(form)
    assert typed(arrived(annotation, form)) == typed(arrives)


def test_a_choice_of_records_says_what_is_wrong_with_the_one_that_fits_best() -> None:
    item = replace(ITEM, notes=[5])  # type: ignore[list-item]

    assert refused(Item | list[int], item) == 'payload["value"]["notes"][0]: must be text, got 5.'
    assert refused(Item | list[int], 5) == 'payload["value"]: must be Item or a list, got 5.'


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (int, "5", "must be a whole number, got '5'."),
        (int, True, "must be a whole number, got True."),
        (int, 5.0, "must be a whole number, got 5.0."),
        (int, Decimal(5), "must be a whole number, got Decimal('5')."),
        (float, "1", "must be a number, got '1'."),
        (float, True, "must be a number, got True."),
        (float, 2**53 + 1, "must be a number, got 9007199254740993."),
        (float, 10**400, "must be a number, got 1000000000000000000"),
        (bool, 1, "must be True or False, got 1."),
        (str, 5, "must be text, got 5."),
        (str, b"a", "must be text, got bytes."),
        (str, NOON.date(), "must be text, got datetime.date(2026, 5, 17)."),
        (None, 0, "must be None, got 0."),
        (datetime, "yesterday", "must be a datetime, got 'yesterday'."),
        (datetime, "2026-05-17", "must be a datetime, got '2026-05-17'."),
        (datetime, 1790000000, "must be a datetime, got 1790000000."),
        (datetime, date(2026, 5, 17), "must be a datetime, got datetime.date(2026, 5, 17)."),
        (date, "2026-02-30", "must be a date, got '2026-02-30'."),
        (date, datetime(2026, 1, 1, tzinfo=UTC), "must be a date, got datetime.datetime(2026, 1, 1, 0, 0, tzinfo=dat"),
        (time, "25:00", "must be a time, got '25:00'."),
        (timedelta, 90, "must be a timedelta, got 90."),
        (timedelta, "90", "must be a timedelta, got '90'."),
        (UUID, "not one", "must be a UUID, got 'not one'."),
        (UUID, 5, "must be a UUID, got 5."),
        (Decimal, 0.1, "must be a Decimal, got 0.1."),
        (Decimal, True, "must be a Decimal, got True."),
        (Decimal, "a lot", "must be a Decimal, got 'a lot'."),
        (Decimal, "NaN", "must be a Decimal, got 'NaN'."),
        (Decimal, Decimal("Infinity"), "must be a Decimal, got Decimal('Infinity')."),
        (Colour, "green", "must be one of 'red', 'blue', None, got 'green'."),
        (Colour, ["red"], "must be one of 'red', 'blue', None, got list."),
        (Level, 2, "must be one of 1, 3, got 2."),
        (Level, True, "must be one of 1, 3, got True."),
        (Literal[*range(25)], 25, f"must be one of {', '.join(map(str, range(20)))}, ..., got 25."),
        (Literal["a", 1], True, "must be one of 'a', 1, got True."),
        (int | None, "5", "must be a whole number or None, got '5'."),
        (datetime | None, "yesterday", "must be a datetime, got 'yesterday'."),
        (list[int], "12", "must be a list, got '12'."),
        (list[int], {1, 2}, "must be a list, got set."),
        (list, iter([1]), "must be a list, got list_iterator."),
        (tuple[int, str], [1], "must be a list of 2, got 1."),
        (tuple[int, str], "ab", "must be a list of 2, got 'ab'."),
        (dict[str, int], [1], "must be a mapping, got list."),
        (Tree, "a", "must be Tree, got 'a'."),
        (Tree, ITEM, "must be Tree, got Item."),
        (Tree, Tree, "must be Tree, got type."),
        (Address, {}, "does not fit Address. 'street' is missing."),
        (
            Address,
            {"street": "a", "zap": 1},
            "does not fit Address. 'zap' is not a field. Did you mean 'zip'?",
        ),
        (Contact, {"street": "a"}, "does not fit Contact. 'name' is missing."),
        (
            Item,
            {"sku": str(SKU), "qantity": 1},
            "does not fit Item. 'due' is missing. 'price' is missing. 'qantity' is not a field. Did you mean 'quantity'?",
        ),
        (Item, ITEM_FORM | {"total": "1"}, "does not fit Item. 'total' is not a field."),
        (Item, ITEM_FORM | {"quantity": 0}, "Item refuses it: quantity must be positive"),
    ],
)
def test_a_value_of_another_type_is_refused(annotation: Any, value: Any, message: str) -> None:
    assert refused(annotation, value).startswith(f'payload["value"]: {message}')


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (list[int], [1, 2, "x"], '[2]: must be a whole number, got \'x\'.'),
        (list[list[date]], [[], ["soon"]], '[1][0]: must be a date, got \'soon\'.'),
        (dict[str, list[UUID]], {"a": [], "b": ["x"]}, '["b"][0]: must be a UUID, got \'x\'.'),
        (tuple[int, date], [1, "x"], '[1]: must be a date, got \'x\'.'),
        (Order, ORDER_FORM | {"items": [ITEM_FORM] * 3 + [ITEM_FORM | {"due": "yesterday"}]},
         '["items"][3]["due"]: must be a datetime, got \'yesterday\'.'),
        (Order | None, ORDER_FORM | {"ship_to": {"street": 1}}, '["ship_to"]["street"]: must be text, got 1.'),
        (Order, ORDER_FORM | {"items": [ITEM_FORM | {"quantity": -1}]},
         '["items"][0]: Item refuses it: quantity must be positive'),
        (Tree, {"name": "a", "children": [{"name": "b", "children": [{"name": 5}]}]},
         '["children"][0]["children"][0]["name"]: must be text, got 5.'),
    ],
)  # fmt: skip
def test_a_refusal_names_the_place(annotation: Any, value: Any, message: str) -> None:
    assert refused(annotation, value).startswith(f'payload["value"]{message}')


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (list[Any], [1, math.nan], "[1]: NaN is not JSON. Pass None, or text."),
        (dict[str, Any], {"a": {"b": "\0"}}, '["a"]["b"]: \'\\x00\' contains NUL'),
        (str, "\ud800", ": '\\ud800' contains a lone surrogate"),
        (list[int], [2**63], "[0]: an integer beyond 64 bits"),
        (float, math.inf, ": Infinity is not JSON."),
        (Tree, Tree("\0"), "[\"name\"]: '\\x00' contains NUL"),
    ],
)
def test_what_no_database_holds_is_refused_whatever_the_type(annotation: Any, value: Any, message: str) -> None:
    with pytest.raises(PayloadError) as caught:
        stored(annotation, value)

    assert str(caught.value).startswith(f'payload["value"]{message}')


def test_an_instance_that_was_changed_for_the_worse_is_refused_when_it_is_added() -> None:
    item = replace(ITEM)
    item.quantity = 0

    assert refused(Item, item) == 'payload["value"]: Item refuses it: quantity must be positive'
    item.due = "yesterday"  # type: ignore[assignment]
    assert refused(Item | None, item) == 'payload["value"]["due"]: must be a datetime, got \'yesterday\'.'


def test_an_instance_of_a_subclass_is_refused_because_it_would_arrive_as_another_type() -> None:
    @dataclass
    class Bush(Tree):
        colour: str = "green"

    assert refused(Tree, Bush("a")) == 'payload["value"]: must be Tree, got Bush.'


def test_a_time_in_a_zone_that_needs_a_date_is_refused() -> None:
    from zoneinfo import ZoneInfo

    assert "must be a time, got datetime.time(1, 0, tzinfo=zoneinfo" in refused(
        time, time(1, tzinfo=ZoneInfo("Asia/Tokyo"))
    )


def test_a_model_instance_is_refused_with_the_advice_to_pass_its_key() -> None:
    from django.contrib.contenttypes.models import ContentType  # needs the app registry

    for annotation in (int, str, list[int], Tree, UUID, int | None):
        assert refused(annotation, ContentType()).endswith(", got ContentType. Pass its .pk, and load it in the job.")


def test_what_contains_itself_or_stands_for_endless_text_is_refused_at_once() -> None:
    circle = Tree("a")
    circle.children.append(circle)
    bomb = Tree("a")
    for _ in range(12):
        bomb = Tree("a", [bomb] * 10)

    endless, huge = refused(Tree, circle), refused(Tree, bomb)

    assert "nesting deeper than 30 levels" in endless
    assert "takes more than 40000 bytes as JSON, and 10000 are allowed" in huge


# --- Parameters ------------------------------------------------------------------------------------------------------


def flaws(function: Callable[..., Any], declared: Any = None) -> tuple[str, ...]:
    return PayloadSchema.of(function, declared).flaws


def test_unannotated_parameters_stay_untouched() -> None:
    def job(a, b=None, **rest): ...  # type: ignore[no-untyped-def]

    payload = {"a": "5", "b": ["2026-01-01"], "c": 1.0}

    assert json.loads(PayloadSchema.of(job).encode(payload, max_bytes=1000)) == payload
    assert PayloadSchema.of(job).arguments(payload, None) == payload


def test_a_parameter_that_is_left_out_keeps_its_default() -> None:
    def job(when: datetime, until: datetime | None = None) -> None: ...

    assert PayloadSchema.of(job).arguments({"when": NOON.isoformat()}, None) == {"when": NOON}


def test_annotated_keyword_arguments_are_of_one_kind() -> None:
    def job(name: str, **dates: date) -> None: ...

    schema = PayloadSchema.of(job)
    payload = {"name": "n", "first": date(2026, 1, 1), "last": "2026-12-31"}
    form = {"name": "n", "first": "2026-01-01", "last": "2026-12-31"}

    assert json.loads(schema.encode(payload, max_bytes=1000)) == form
    assert schema.arguments(form, None) == {"name": "n", "first": date(2026, 1, 1), "last": date(2026, 12, 31)}
    with pytest.raises(PayloadError, match=r'payload\["first"\]: must be a date, got 5.'):
        schema.encode({"name": "n", "first": 5}, max_bytes=1000)


def test_a_parameter_named_payload_takes_an_instance_or_its_form_and_gets_an_instance() -> None:
    def job(payload: Order, run: Unimportable) -> None: ...

    schema = PayloadSchema.of(job)
    text = schema.encode(ORDER, max_bytes=10_000)

    assert schema.arguments(json.loads(text), "the run") == {"payload": ORDER, "run": "the run"}
    assert json.loads(schema.encode(ORDER_FORM, max_bytes=10_000)) == ORDER_FORM
    with pytest.raises(PayloadError, match=r"^payload: does not fit Order. 'id' is missing."):
        schema.encode(None, max_bytes=1000)
    with pytest.raises(PayloadError, match=r'^payload\["items"\]\[0\]\["due"\]: must be a datetime, got 5.'):
        schema.encode(ORDER_FORM | {"items": [ITEM_FORM | {"due": 5}]}, max_bytes=1000)


def test_a_payload_that_is_declared_to_be_something_else_than_a_mapping_is_a_flaw() -> None:
    def job(payload: list[int]) -> None: ...

    assert flaws(job) == ("A payload is a mapping, and cannot be a list. Annotate what it maps, or a dataclass.",)


def test_a_payload_that_may_be_something_else_than_a_mapping_is_one_all_the_same() -> None:
    def job(payload: Tree | list[int]) -> None: ...

    assert PayloadSchema.of(job).encode(Tree("a"), max_bytes=100)
    with pytest.raises(PayloadError, match=r"^payload: must be a mapping of argument names to values, got list\.$"):
        PayloadSchema.of(job).encode([1], max_bytes=100)  # type: ignore[arg-type]


def test_an_annotation_that_cannot_be_resolved_is_a_flaw_that_names_the_parameter() -> None:
    def job(a: int, b: Unimportable = None, **rest: list[Unimportable]) -> Unimportable: ...

    flaw = (
        "The annotation of parameter {!r} cannot be resolved: NameError: name 'Unimportable' is not defined. Import {}"
    )

    assert flaws(job) == (
        flaw.format("b", "what it names."),
        flaw.format("**rest", "what it names."),
    )


class Hidden(TypedDict):
    it: Unimportable


def test_an_annotation_inside_a_record_that_cannot_be_resolved_is_one_too() -> None:
    def job(a: list[Hidden]) -> None: ...

    assert flaws(job)[0].startswith(
        "The annotation of parameter 'a' cannot be resolved: NameError: name 'Unimportable'"
    )


def test_the_annotations_of_the_run_and_of_the_result_are_nobodys_business() -> None:
    def job(a: int, run: Unimportable) -> Unimportable: ...

    assert flaws(job) == ()


class Connection:
    """What no payload can hold."""


def test_a_type_that_no_payload_can_hold_is_a_flaw_of_a_required_parameter() -> None:
    def job(connection: Connection, more: list[Connection]) -> None: ...

    for flaw, name in zip(flaws(job), ["connection", "more"], strict=True):
        assert flaw.startswith(f"Parameter {name!r}: no payload can hold tests.payloads.test_types.Connection")
        assert flaw.endswith(". Annotate what JSON holds, or give it a default.")


def test_a_parameter_of_such_a_type_may_have_a_default_but_cannot_be_given() -> None:
    def job(name: str, connection: Connection | None = None) -> None: ...

    schema = PayloadSchema.of(job)

    assert schema.flaws == ()
    assert schema.arguments({"name": "n"}, None) == {"name": "n"}
    for refuse in (
        lambda payload: schema.encode(payload, max_bytes=1000),
        lambda payload: schema.arguments(payload, 0),
    ):
        with pytest.raises(PayloadError, match=r'payload\["connection"\]: must be left out: no payload can hold tests'):
            refuse({"name": "n", "connection": 5})


# --- payload_schema --------------------------------------------------------------------------------------------------


def test_a_declared_schema_takes_the_place_of_annotations() -> None:
    def job(name, children=()): ...  # type: ignore[no-untyped-def]

    schema = PayloadSchema.of(job, Tree)

    for payload in (Tree("a", [Tree("b")]), {"name": "a", "children": [{"name": "b"}]}):
        form = json.loads(schema.encode(payload, max_bytes=1000))
        assert schema.arguments(form, None) == {"name": "a", "children": [Tree("b")]}
    with pytest.raises(PayloadError, match=r'^payload\["children"\]\[0\]\["name"\]: must be text, got 5.'):
        schema.encode({"name": "a", "children": [{"name": 5}]}, max_bytes=1000)


def test_a_declared_typed_dict_is_spread_over_the_parameters() -> None:
    class Dates(TypedDict):
        first: date
        last: date

    Dates.__annotations__.update(first=date, last=date)

    def job(first, last, *, run): ...  # type: ignore[no-untyped-def]

    arguments = PayloadSchema.of(job, Dates).arguments({"first": "2026-01-01", "last": "2026-01-02"}, "the run")

    assert arguments == {"first": date(2026, 1, 1), "last": date(2026, 1, 2), "run": "the run"}


def test_a_declared_schema_is_what_a_parameter_named_payload_gets() -> None:
    def job(payload: Unimportable) -> None: ...

    schema = PayloadSchema.of(job, Tree)

    assert schema.flaws == ()
    assert schema.arguments({"name": "a"}, None) == {"payload": Tree("a")}


def test_a_declared_schema_that_does_not_fit_the_parameters_is_told_when_a_run_is_added() -> None:
    def job(title): ...  # type: ignore[no-untyped-def]

    with pytest.raises(PayloadError) as caught:
        PayloadSchema.of(job, Address).encode({"street": "a"}, max_bytes=1000)

    assert str(caught.value) == (
        "payload: does not fit job(). 'title' is missing. 'street' is not a parameter. Known: title."
    )


def test_a_declared_schema_that_cannot_be_used_is_a_flaw() -> None:
    def job(a): ...  # type: ignore[no-untyped-def]

    [flaw] = flaws(job, Connection)

    assert flaw.startswith(
        "Its payload_schema cannot be used: no payload can hold tests.payloads.test_types.Connection"
    )
    assert flaws(job, int) == (
        "A payload is a mapping, and cannot be a whole number. Annotate what it maps, or a dataclass.",
    )
