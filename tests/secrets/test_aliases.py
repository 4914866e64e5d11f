"""What is given under an alias of pydantic's may be a secret under its own name, and is told by no refusal."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from django_jobqueue import job, queues
from django_jobqueue.errors import PayloadError
from django_jobqueue.jobs import JobRegistry, registry
from django_jobqueue.models import Run
from django_jobqueue.operations.visible import Visible
from tests.secrets.test_redaction import STARS

NUMBER = "4111-2222-3333-4444"


class Card(BaseModel):
    number: str = Field(alias="cardNumber", pattern="^[0-9-]{19}$")
    year: int = Field(2030, alias="expiryYear")

    @field_validator("number")
    @classmethod
    def check(cls, number: str) -> str:
        if number.startswith("0"):
            raise ValueError(f"{number} belongs to nobody")
        return number


class WrittenByAlias(Card):
    model_config = ConfigDict(serialize_by_alias=True)


class Order(BaseModel):
    cards: list[Card]


def pay_by(card: Card) -> None: ...


def pay_written(card: WrittenByAlias) -> None: ...


def pay_order(payload: Order) -> None: ...


@pytest.fixture(autouse=True)
def shop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "__dict__", vars(JobRegistry()))
    job(secret=["card.number"])(pay_by)
    job(secret=["card.cardNumber"])(pay_written)
    job(secret=["cards.number"])(pay_order)


@pytest.mark.parametrize("name", ["number", "cardNumber"])
@pytest.mark.parametrize("number", [f"{NUMBER}-5555", NUMBER.replace("4", "0")], ids=["too-long", "refused-by-value"])
@pytest.mark.parametrize(
    ("job_name", "within"),
    [
        ("pay_by", lambda card: {"card": card}),
        ("pay_written", lambda card: {"card": card}),
        ("pay_order", lambda card: {"cards": [card]}),
    ],
    ids=["stored-by-name", "stored-by-alias", "deeper"],
)
def test_a_refusal_hides_it_under_either_name(job_name: str, within: Any, number: str, name: str) -> None:
    with pytest.raises(PayloadError) as caught:
        queues.default.add(job_name, within({name: number}))

    told = str(caught.value)
    assert STARS in told
    assert number not in told


def test_a_refusal_shows_what_is_no_secret() -> None:
    with pytest.raises(PayloadError, match="got 'never'"):
        queues.default.add("pay_by", {"card": {"cardNumber": NUMBER, "year": "never"}})


@pytest.mark.django_db
@pytest.mark.parametrize(("job_name", "stored"), [("pay_by", "number"), ("pay_written", "cardNumber")])
@pytest.mark.parametrize("name", ["number", "cardNumber"])
def test_a_stored_one_is_hidden_whatever_name_it_was_given_by(job_name: str, stored: str, name: str) -> None:
    queues.default.add(job_name, {"card": {name: NUMBER}})

    run = Run.objects.get()
    assert run.payload["card"][stored] == NUMBER
    assert Visible(run, secrets=False).run.payload["card"][stored] == STARS
