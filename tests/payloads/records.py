"""Types that payloads of the tests are made of, as a project declares them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, Literal, NewType, NotRequired, Required, TypedDict
from uuid import UUID


class Colour(Enum):
    RED = "red"
    BLUE = "blue"
    NONE = None


class Level(IntEnum):
    LOW = 1
    HIGH = 3


class Size(StrEnum):
    SMALL = "S"
    LARGE = "L"


Sku = NewType("Sku", str)


class Address(TypedDict):
    street: str
    zip: NotRequired[int | None]


class Contact(Address, total=False):
    """Inherits required keys, and adds others."""

    phone: str
    name: Required[str]


@dataclass
class Item:
    sku: UUID
    due: datetime
    price: Decimal
    quantity: int = 1
    colour: Colour = Colour.RED
    notes: list[str] = field(default_factory=list)
    total: Decimal = field(init=False)

    def __post_init__(self) -> None:
        if self.quantity < 1:
            raise ValueError("quantity must be positive")
        self.total = self.price * self.quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    id: int
    placed_on: date
    items: list[Item]
    ship_to: Address
    window: tuple[time, time] | None = None
    grace: timedelta = timedelta(days=1)
    size: Size = Size.SMALL
    level: Level | None = None
    mode: Literal["fast", "slow", 3] = "slow"
    labels: dict[str, list[date]] = field(default_factory=dict)
    extra: Any = None


@dataclass
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list)
