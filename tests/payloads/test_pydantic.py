"""With pydantic, a payload holds its models, and whatever else pydantic reads and writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import InitVar, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from uuid import UUID

import annotated_types
import pytest
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    Json,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass

from django_jobqueue.errors import PayloadError
from django_jobqueue.payloads import PayloadSchema
from tests.payloads.records import Colour, Item
from tests.payloads.test_types import ITEM, NOON, SKU, arrived, flaws, schema_of, stored, typed

pytestmark = pytest.mark.sqlite  # no database is asked

if TYPE_CHECKING:
    from nowhere import Unimportable  # type: ignore[import-not-found]


class Line(BaseModel):
    sku: UUID
    due: datetime
    price: Decimal = Decimal(0)
    quantity: Annotated[int, Field(gt=0)] = 1
    colours: set[Colour] = set()
    raw: Json[int] = 0
    url: HttpUrl | None = None

    @field_validator("quantity")
    @classmethod
    def _no_gross(cls, quantity: int) -> int:
        if quantity == 144:
            raise ValueError("we do not sell by the gross")
        return quantity


class Invoice(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: int = Field(alias="invoiceNumber")
    lines: list[Line]
    item: Item | None = None
    grace: timedelta = timedelta(0)

    @model_validator(mode="after")
    def _has_lines(self) -> Invoice:
        if not self.lines:
            raise ValueError("an invoice has lines")
        return self


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    when: datetime
    count: int


class Point(NamedTuple):
    x: int
    y: date


@pydantic_dataclass
class Checked:
    count: Annotated[int, Field(ge=1)]


@dataclass
class Basket:
    lines: list[Line]
    count: Annotated[int, annotated_types.Ge(1)] = 1


@dataclass
class WithInitVar:
    a: int
    b: InitVar[int] = 0


LINE = Line(sku=SKU, due=NOON, price=Decimal("1.50"), colours={Colour.RED}, raw="5", url="https://example.com/")  # type: ignore[arg-type]
LINE_FORM = {"sku": str(SKU), "due": "2026-01-01T00:00:00Z"}
INVOICE = Invoice(invoiceNumber=7, lines=[LINE, LINE], item=ITEM, grace=timedelta(days=1, microseconds=1))


def refused(annotation: Any, value: Any) -> str:
    with pytest.raises(PayloadError) as caught:
        stored(annotation, value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Line, LINE),
        (Invoice, INVOICE),
        (Invoice | None, INVOICE),
        (Invoice | None, None),
        (list[Line], [LINE, LINE]),
        (dict[str, Line | None], {"a": LINE, "b": None}),
        (Basket, Basket([LINE], count=2)),
        (Strict, Strict(when=NOON, count=1)),
        (Checked, Checked(3)),
        (WithInitVar, WithInitVar(1)),
        (Point, Point(1, date(2026, 1, 1))),
        (set[int], {1, 2}),
        (frozenset[UUID], frozenset({SKU})),
        (dict[int, Decimal], {1: Decimal("1.0")}),
        (bytes, b"raw"),
        (UUID | int, SKU),
        (UUID | int | str, 5),
        (Annotated[int, annotated_types.Gt(0)], 5),
        (Annotated[list[datetime], annotated_types.Len(1)], [NOON]),
        (Annotated[datetime, "a remark"], NOON),
    ],
)
def test_a_value_arrives_as_it_was(annotation: Any, value: Any) -> None:
    form = stored(annotation, value)

    assert arrived(annotation, form) == value
    assert type(arrived(annotation, form)) is type(value)
    assert stored(annotation, form) == form


def test_a_model_is_stored_by_the_names_of_its_fields_whatever_their_aliases() -> None:
    by_alias = stored(Invoice, {"invoiceNumber": 7, "lines": [LINE_FORM]})

    assert by_alias == stored(Invoice, {"number": 7, "lines": [LINE_FORM]})
    assert by_alias["number"] == 7
    assert arrived(Invoice, by_alias).number == 7


def test_a_mapping_may_mix_values_and_their_json_forms() -> None:
    form = stored(Line, {"sku": str(SKU), "due": NOON, "price": Decimal(5)})

    assert arrived(Line, form) == Line(sku=SKU, due=NOON, price=Decimal(5))


def test_a_strict_model_takes_the_json_form_of_its_fields() -> None:
    form = {"when": "2026-01-01T00:00:00Z", "count": 1}

    assert stored(Strict, form) == form
    assert arrived(Strict, form) == Strict(when=datetime(2026, 1, 1, tzinfo=UTC), count=1)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (Line, LINE_FORM | {"due": "yesterday"}, '["due"]: Input should be a valid datetime'),
        (Line, {"sku": str(SKU)}, '["due"]: Field required.'),
        (Line, LINE_FORM | {"quantity": -1}, '["quantity"]: Input should be greater than 0, got -1.'),
        (Line, LINE_FORM | {"quantity": 144}, '["quantity"]: Value error, we do not sell by the gross, got 144.'),
        (Line, [1], ": Input should be an object, got list."),
        (Line, 5, ": Input should be an object, got 5."),
        (Line, ITEM, ": Input should be a valid dictionary or instance of Line, got Item."),
        (Invoice, {"number": 1, "lines": []}, ": Value error, an invoice has lines, got dict."),
        (
            Invoice,
            {"number": 1, "lines": [LINE_FORM, LINE_FORM | {"quantity": "x"}], "more": 1},
            '["lines"][1]["quantity"]: Input should be a valid integer, unable to parse string as an integer, got \'x\'. And 1 more.',
        ),
        (Basket, {"lines": [LINE_FORM | {"price": "x"}]}, '["lines"][0]["price"]: Input should be a valid decimal, got \'x\'.'),
        (Basket, {"lines": [], "count": 0}, '["count"]: Input should be greater than or equal to 1, got 0.'),
        (Annotated[int, annotated_types.Gt(0)], 0, ": Input should be greater than 0, got 0."),
        (list[Annotated[int, annotated_types.Gt(0)]], [1, 0], "[1]: Input should be greater than 0, got 0."),
        (bytes, b"\xff", ": 'utf-8' codec can't decode byte 0xff in position 0"),
        (Line, LINE.model_copy(update={"quantity": -1}), '["quantity"]: Input should be greater than 0, got -1.'),
        (Line, LINE.model_copy(update={"sku": "\0"}), '["sku"]: Input should be a valid UUID'),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_with_its_place(annotation: Any, value: Any, message: str) -> None:
    assert refused(annotation, value).startswith(f'payload["value"]{message}')


@pytest.mark.parametrize(
    ("annotation", "form", "place"), [(Line, {"sku": 5, "due": 5}, '["sku"]'), (set[int], "x", "")]
)
def test_a_stored_form_that_does_not_fit_any_more_is_refused_before_the_run(
    annotation: Any, form: Any, place: str
) -> None:
    with pytest.raises(PayloadError) as caught:
        arrived(annotation, form)

    assert str(caught.value).startswith(f'payload["value"]{place}: ')
    assert "nput should be" in str(caught.value)


class Token(BaseModel):
    token: SecretStr
    note: str = Field(default="", exclude=True)
    _cache: int = PrivateAttr(default=0)


class Wide(Line):
    more: int = 0


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Token, Token(token=SecretStr("s3cret"))),
        (Token, {"token": "s3cret"}),
        (Line, Wide(sku=SKU, due=NOON, more=5)),
        (Annotated[int, BeforeValidator(lambda value: value + 1)], 5),
    ],
    ids=["secret", "secret form", "subclass", "validator"],
)
def test_what_would_not_come_back_as_it_was_is_refused(annotation: Any, value: Any) -> None:
    message = refused(annotation, value)

    assert message.startswith('payload["value"]: this ')
    assert message.endswith(" would not come back from JSON as it is.")
    assert "s3cret" not in message


def test_what_no_database_holds_is_refused_in_a_model_too() -> None:
    class Note(BaseModel):
        text: str
        number: float = 0

    assert "'\\x00' contains NUL" in refused(Note, Note(text="\0"))
    assert "'\\x00' contains NUL" in refused(Note, {"text": "\0"})
    assert refused(Note, Note(text="", number=float("inf"))) != ""


def test_a_circle_of_models_is_refused() -> None:
    class Node(BaseModel):
        next: Any = None

    node = Node()
    node.next = node

    assert refused(Node, node).startswith('payload["value"]: Circular reference detected')


class Later(BaseModel):
    it: Unimportable


class Connection:
    """What pydantic knows as little as we do."""


def test_a_model_that_cannot_be_resolved_is_a_flaw_that_names_the_parameter() -> None:
    def job(a: Later, b: list[Connection]) -> None: ...

    assert flaws(job) == (
        "The annotation of parameter 'a' cannot be resolved: name 'Unimportable' is not defined. Import what it names.",
        "Parameter 'b': no payload can hold tests.payloads.test_pydantic.Connection. "
        "Annotate what JSON holds, or give it a default.",
    )


def test_a_model_may_be_the_whole_payload() -> None:
    def job(payload: Invoice) -> None: ...

    schema = PayloadSchema.of(job)

    assert schema.arguments(json.loads(schema.encode(INVOICE, max_bytes=10_000)), None) == {"payload": INVOICE}
    with pytest.raises(PayloadError, match=r'^payload\["lines"\]\[0\]\["due"\]: Field required.'):
        schema.encode({"number": 1, "lines": [{"sku": str(SKU)}]}, max_bytes=1000)


def test_a_model_may_be_the_declared_schema_of_a_job_without_annotations() -> None:
    def job(number, lines, item=None, grace=None): ...  # type: ignore[no-untyped-def]

    schema = PayloadSchema.of(job, Invoice)
    form = json.loads(schema.encode({"invoiceNumber": 7, "lines": [LINE_FORM]}, max_bytes=1000))

    assert form["number"] == 7
    assert schema.arguments(form, None)["lines"] == [Line(sku=SKU, due=datetime(2026, 1, 1, tzinfo=UTC))]


def test_the_same_types_are_read_in_the_same_way_whether_pydantic_is_there_or_not() -> None:
    assert type(schema_of(datetime).kinds["value"]).__name__ == "Written"
    assert typed(arrived(list[datetime], ["2026-01-01T00:00:00Z"])) == typed([datetime(2026, 1, 1, tzinfo=UTC)])


class Aliased(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)

    number: int = Field(alias="invoiceNumber")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    lines: list[Line] = []


@pytest.mark.parametrize(
    ("type_", "path", "unknown"),
    [
        (Invoice, "number", None),
        (Invoice, "invoiceNumber", "invoiceNumber"),
        (Invoice, "lines.price", None),
        (Invoice, "lines.prize", "prize"),
        (Invoice, "item.quantity", None),
        (Invoice, "item.quantty", "quantty"),
        (Invoice, "number.of.what", None),
        (Aliased, "invoiceNumber", None),
        (Aliased, "number", "number"),
        (Open, "anything.goes", None),
        (Open, "lines.prize", "prize"),
        (dict[str, Line], "any.price", None),
        (dict[str, Annotated[Line, "x"]], "any.prize", "prize"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", "known"),
)
def test_a_path_into_a_model_is_followed_as_far_as_its_names_are_known(
    type_: Any, path: str, unknown: str | None
) -> None:
    def work(payload: Any) -> None:
        """Work."""

    found = PayloadSchema.of(work, type_).unknown_name(path.split("."))

    assert (found and found.name) == unknown


@pytest.mark.parametrize(
    ("path", "unknown"),
    [
        ("choice.price", None),
        ("choice.prize", "prize"),
        ("loose.prize", None),
        ("by_name.any.prize", "prize"),
        ("by_name.any.price", None),
    ],
)
def test_a_path_into_a_choice_is_wrong_where_no_branch_has_it(path: str, unknown: str | None) -> None:
    class Choosing(BaseModel):
        choice: Line | Invoice | None = None
        loose: Line | Any = None
        by_name: dict[str, Line] = {}

    def work(payload: Choosing) -> None:
        """Work."""

    work.__annotations__["payload"] = Choosing
    found = PayloadSchema.of(work).unknown_name(path.split("."))

    assert (found and found.name) == unknown


def test_nobody_knows_the_names_in_what_has_no_json_schema() -> None:
    class Calls(BaseModel):
        hook: Callable[[], int]

    def work(payload: Any) -> None:
        """Work."""

    assert PayloadSchema.of(work, Calls).unknown_name(["hok"]) is None
