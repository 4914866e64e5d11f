"""A mistake in what is declared to be secret is told before anything is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

import pytest
from pydantic import BaseModel, Field
from pytest_django import Settings

from django_jobqueue import job, queues
from django_jobqueue.errors import ConfigError
from django_jobqueue.jobs import JobRegistry, registry

pytestmark = pytest.mark.sqlite  # no database is asked


@pytest.fixture(autouse=True)
def new_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "__dict__", vars(JobRegistry()))


def pay(card: str, password: str = "") -> None:
    """Pay."""


def take_anything(**payload: object) -> None:
    """Take it."""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"secret": ["pasword"]}, "'pasword', and there is no 'pasword' in its payload. Did you mean 'password'?"),
        (
            {"secret": ["crad.number"]},
            "secret names 'crad.number', and there is no 'crad' in its payload. Did you mean 'card'?",
        ),
        ({"secret": "card"}, "must be a list of fields of the payload, such as ['token', 'card.number'], got 'card'"),
        ({"secret": ["card..number"]}, "must be a list of fields of the payload"),
        ({"secret": [7]}, "must be a list of fields of the payload"),
        ({"secret": ["card"], "concurrency_key": "card"}, "concurrency_key is the secret field 'card'."),
        ({"secret": ["card"], "rate_key": "card"}, "rate_key is the secret field 'card'."),
    ],
)
def test_it_is_refused(options: dict[str, Any], told: str) -> None:
    job(**options)(pay)

    with pytest.raises(ConfigError) as caught:
        registry.get("default", "pay")
    assert told in str(caught.value)


class Card(BaseModel):
    number: str
    year: int = Field(2030, alias="expiryYear")


class Line(TypedDict):
    sku: str
    gift_code: NotRequired[str]


@dataclass
class Order:
    id: int
    lines: list[Line]
    card: Card | None = None
    notes: dict[str, Line] = field(default_factory=dict)
    more: Any = None
    code: Line | str = ""
    pair: tuple[Line, int] | None = None


def charge(payload: Order) -> None:
    """Charge."""


def charge_model(payload: Card) -> None:
    """Charge."""


def charge_line(payload: Line) -> None:
    """Charge."""


def charge_anything(payload: dict[str, Any]) -> None:
    """Charge."""


def charge_by_name(order: Order, note: str = "", **lines: Line) -> None:
    """Charge."""


MISSPELT: list[tuple[Callable[..., None], str, str]] = [
    (charge, "lnes", "'lnes' in its payload. Did you mean 'lines'?"),
    (charge, "lines.giftcode", "'giftcode' in its payload. Did you mean 'gift_code'?"),
    (charge, "notes.any.giftcode", "'giftcode' in its payload. Did you mean 'gift_code'?"),
    (charge, "card.nmber", "'nmber' in its payload. Did you mean 'number'?"),
    (charge, "code.giftcode", "'giftcode' in its payload. Did you mean 'gift_code'?"),
    (charge_model, "nmber", "'nmber' in its payload. Did you mean 'number'?"),
    (charge_model, "expiryYear", "'expiryYear' in its payload. Known: number, year."),
    (charge_line, "giftcode", "'giftcode' in its payload. Did you mean 'gift_code'?"),
    (charge_by_name, "order.lines.giftcode", "'giftcode' in its payload. Did you mean 'gift_code'?"),
    (charge_by_name, "any.giftcode", "'giftcode' in its payload. Did you mean 'gift_code'?"),
]


@pytest.mark.parametrize(("function", "name", "told"), MISSPELT, ids=[f"{f.__name__}-{n}" for f, n, _ in MISSPELT])
def test_a_secret_that_is_misspelt_is_found_in_a_typed_payload(
    function: Callable[..., None], name: str, told: str
) -> None:
    job(secret=[name])(function)

    with pytest.raises(ConfigError) as caught:
        registry.get("default", function.__name__)
    assert str(caught.value).endswith(f"secret names {name!r}, and there is no {told}")


@pytest.mark.parametrize(
    ("function", "name"),
    [
        *((charge, name) for name in ("id", "lines", "lines.gift_code", "card.number", "notes.any", "notes.any.sku")),
        *((charge, name) for name in ("more.what.ever", "id.of.no.more", "pair.sku", "code.gift_code")),
        (charge_model, "number"),
        (charge_model, "year"),
        (charge_line, "gift_code"),
        (charge_anything, "what.ever"),
        (charge_by_name, "order.card.number"),
        (charge_by_name, "note"),
        (charge_by_name, "any.gift_code"),
        (charge_by_name, "any"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_secret_may_be_named_wherever_a_payload_may_have_it(function: Callable[..., None], name: str) -> None:
    job(secret=[name])(function)

    assert registry.get("default", function.__name__).options.secret == (name,)


@pytest.mark.parametrize("option", ["concurrency_key", "rate_key", "unique_key"])
def test_a_key_that_is_misspelt_is_found_in_a_typed_payload(option: str) -> None:
    job(unique="live", **{option: "lnes"})(charge)

    with pytest.raises(ConfigError, match=f"{option}: there is no 'lnes' in the payload. Did you mean 'lines'"):
        registry.get("default", "charge")


def test_a_queue_may_name_what_only_some_of_its_jobs_have(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"default": {"secret": ["card", "iban"]}}}
    job(pay)

    assert registry.secrets("default", "pay").fields == ("card", "iban")


def test_a_job_that_takes_anything_may_name_anything() -> None:
    job(secret=["card.number"])(take_anything)

    assert queues.default.jobs["take_anything"].options.secret == ("card.number",)
