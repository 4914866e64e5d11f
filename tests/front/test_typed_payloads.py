"""What a job gets is what was added: equal, and of the same type, from every database."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from datetime import timezone as fixed_offset
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NotRequired, TypedDict
from uuid import UUID

import pytest
from annotated_types import Ge
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from pytest_django import Settings

from django_jobqueue import job, queues
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import PayloadError
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from django_jobqueue.payloads import Payload
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.runner import Ended, run_attempt
from tests.front.test_add import TEXT, VALUES

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 5, 17, 12, tzinfo=UTC)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 3


class Address(TypedDict):
    street: str
    number: NotRequired[int | None]


@dataclass(kw_only=True)
class Item:
    sku: UUID
    due: datetime | None = None
    price: Decimal = Decimal(0)
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Order:
    placed_on: date
    window: tuple[time, ...]
    grace: timedelta
    weight: float
    colour: Colour
    level: Level | None
    mode: Literal["fast", 3]
    ship_to: Address
    items: dict[str, list[Item]]
    extra: Any


class Line(BaseModel):
    sku: UUID
    due: datetime | None = None
    price: Decimal = Field(default=Decimal(0), allow_inf_nan=False)
    grace: timedelta = timedelta(0)
    colours: frozenset[Colour] = frozenset()


NUMBERS = st.integers(-(2**63), 2**63 - 1)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: fixed_offset(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(timezones=st.none() | ZONES)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
ADDRESSES = st.fixed_dictionaries({"street": TEXT}, optional={"number": st.none() | NUMBERS})
ITEMS = st.builds(Item, sku=st.uuids(), due=st.none() | MOMENTS, price=DECIMALS, tags=st.lists(TEXT, max_size=3))
ORDERS = st.builds(
    Order,
    placed_on=st.dates(),
    window=st.lists(st.times(timezones=st.none() | ZONES), max_size=3).map(tuple),
    grace=st.timedeltas(),
    weight=st.floats(allow_nan=False, allow_infinity=False),
    colour=st.sampled_from(Colour),
    level=st.none() | st.sampled_from(Level),
    mode=st.sampled_from(["fast", 3]),
    ship_to=ADDRESSES,
    items=st.dictionaries(TEXT, st.lists(ITEMS, max_size=3), max_size=3),
    extra=VALUES,
)
LINES = st.builds(
    Line,
    sku=st.uuids(),
    due=st.none() | MOMENTS,
    price=DECIMALS,
    grace=st.timedeltas(timedelta(-999_999), timedelta(999_999)),
    colours=st.frozensets(st.sampled_from(Colour)),
)


def typed(value: Any) -> Any:
    """*value* with the type of each part, for 1 == 1.0 == True."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [typed(item) for item in value]
    if is_dataclass(value):
        return type(value), {each.name: typed(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, datetime):
        return datetime, value.tzinfo is None, value
    return type(value), value


GOT: list[dict[str, Any]] = []
"""The arguments of the calls, the latest last."""


def seen(name: str, payload: Payload) -> dict[str, Any]:
    """What a job gets of a *payload*, after it was added, stored and claimed."""
    queues.default.add(name, payload)
    engine = engine_for("default")
    [claim] = engine.claim("default", "default", worker="w", limit=1, lease_seconds=60)
    ended = run_attempt(Assignment(claim, registry.get("default", name)))
    assert isinstance(ended, Ended)
    engine.settle([ended.settlement])
    assert ended.settlement.error is None
    return GOT.pop()


@pytest.fixture(autouse=True)
def jobs(settings: Settings) -> None:
    settings.JOBQUEUE = {}

    @job
    def whole(payload: Order) -> None:
        GOT.append(locals())

    @job
    def parts(order: Order, items: list[Item], address: Address, when: datetime, amount: Decimal) -> None:
        GOT.append(locals())

    @job
    def model(payload: Line) -> None:
        GOT.append(locals())

    @job
    def models(lines: list[Line], first: Line | None, count: Annotated[int, Ge(0)], ids: set[UUID]) -> None:
        GOT.append(locals())


@given(order=ORDERS)
def test_a_dataclass_arrives_as_it_was_added(order: Order) -> None:
    arguments = seen("whole", order)

    assert typed(arguments["payload"]) == typed(order)


@given(order=ORDERS, items=st.lists(ITEMS, max_size=3), address=ADDRESSES, when=MOMENTS, amount=DECIMALS)
@example(
    order=Order(
        placed_on=date(1, 1, 1), window=(time(0),), grace=timedelta.max, weight=1e300, colour=Colour.RED, level=None,
        mode=3, ship_to={"street": ""}, items={}, extra=[1e16],
    ),
    items=[], address={"street": "", "number": None}, when=datetime.max.replace(tzinfo=UTC), amount=Decimal("1E+6000"),
)  # fmt: skip
def test_arguments_arrive_as_they_were_added(**payload: Any) -> None:
    assert typed(seen("parts", payload)) == typed(payload)


@given(line=LINES)
def test_a_model_arrives_as_it_was_added(line: Line) -> None:
    assert seen("model", line) == {"payload": line}


@given(
    lines=st.lists(LINES, max_size=3), first=st.none() | LINES, count=st.integers(0, 2**63 - 1), ids=st.sets(st.uuids())
)
def test_models_and_annotated_arguments_arrive_as_they_were_added(**payload: Any) -> None:
    assert seen("models", payload) == payload


def test_what_is_stored_is_the_json_form() -> None:
    run = queues.default.add("model", Line(sku=UUID(int=1), due=NOON))

    assert run.payload == Run.objects.get().payload
    assert (run.payload["sku"], run.payload["due"]) == (str(UUID(int=1)), "2026-05-17T12:00:00Z")


def test_a_job_adds_itself_with_an_instance_and_in_bulk() -> None:
    lines = [Line(sku=UUID(int=number)) for number in range(3)]

    queues.default.bulk_add({"job": "model", "payload": line} for line in lines)

    assert [run.payload["sku"] for run in Run.objects.order_by("id")] == [str(line.sku) for line in lines]


def test_a_bad_instance_among_many_is_named_with_its_index_and_place() -> None:
    items = [{"job": "model", "payload": {"sku": UUID(int=1)}}, {"job": "model", "payload": {"sku": 5}}]

    with pytest.raises(PayloadError, match=r'^item 1: payload\["sku"\]: UUID input should be'):
        queues.default.bulk_add(items)

    assert not Run.objects.exists()


def test_the_size_of_a_typed_payload_is_limited_too(settings: Settings) -> None:
    settings.JOBQUEUE = {"payload_max_bytes": 50}

    with pytest.raises(PayloadError, match=r"^payload: takes \d+ bytes as JSON, and 50 are allowed"):
        queues.default.add("model", Line(sku=UUID(int=1)))


def test_a_stored_payload_that_no_longer_fits_ends_its_run_as_failed_with_the_place(settings: Settings) -> None:
    run = queues.default.add("model", Line(sku=UUID(int=1)))
    Run.objects.update(payload={"sku": "changed", "due": None})
    engine = engine_for("default")
    [claim] = engine.claim("default", "default", worker="w", limit=1, lease_seconds=60)

    ended = run_attempt(Assignment(claim, registry.get("default", "model")))
    assert isinstance(ended, Ended)
    engine.settle([ended.settlement])

    run.refresh_from_db()
    assert (run.state, run.reason) == ("failed", "invalid_payload")
    assert run.error is not None
    assert run.error.startswith('payload["sku"]: Input should be a valid UUID')
