"""A job may get another payload, or another name, while runs wait."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import Settings

from django_jobqueue import RunContext, job, operations, queues
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import NewRun
from django_jobqueue.errors import ConfigError, PayloadError, UnknownJob
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.runner import Ended, run_attempt
from tests.front.conftest import WriteModule

pytestmark = pytest.mark.django_db

GOT: list[dict[str, Any]] = []


@pytest.fixture(autouse=True)
def project(settings: Settings) -> None:
    settings.JOBQUEUE = {}
    GOT.clear()


def problems() -> list[str]:
    return list(registry.problems())


def work(run: Run) -> Run:
    """Run the job of the one run that can be claimed."""
    engine = engine_for("default")
    [claim] = engine.claim("default", run.queue, worker="w", limit=1, lease_seconds=60)
    definition = registry.get(claim.queue, claim.job)
    ended = run_attempt(Assignment(claim, definition))
    assert isinstance(ended, Ended)
    engine.settle([ended.settlement])
    run.refresh_from_db()
    return run


def add_old(name: str, version: int, payload: Any) -> Run:
    """A run that another release has added."""
    engine = engine_for("default")
    new = NewRun(queue="default", job=name, version=version, payload_text=json.dumps(payload))
    return Run.objects.get(pk=engine.insert("default", [new])[0].id)


def charge(**payload: Any) -> None:
    """A job, in the version before the first."""
    GOT.append(payload)


def with_currency(payload: dict[str, Any]) -> dict[str, Any]:
    return payload | {"currency": "EUR"}


def in_cents(payload: dict[str, Any]) -> dict[str, Any]:
    return payload | {"amount": payload["amount"] * 100}


# --- Versions --------------------------------------------------------------------------------------------------------


def test_the_version_of_the_job_is_stored_with_the_run() -> None:
    job(version=3, upgrades={1: with_currency, 2: in_cents})(charge)

    assert queues.default.add("charge", {"amount": 5}).version == Run.objects.get().version == 3


def test_the_payload_of_an_older_version_is_upgraded_step_by_step_before_the_run() -> None:
    job(version=3, upgrades={1: with_currency, 2: in_cents})(charge)
    runs = [add_old("charge", version, {"amount": version}) for version in (1, 2, 3)]

    ended = [work(run) for run in runs]

    assert [run.state for run in ended] == ["completed"] * 3
    assert GOT == [{"amount": 100, "currency": "EUR"}, {"amount": 200}, {"amount": 3}]
    assert ended[0].payload == {"amount": 1}


def test_the_context_of_a_run_has_the_upgraded_payload() -> None:
    def look(run: RunContext, **payload: Any) -> None:
        GOT.append(dict(run.payload))

    job(version=2, upgrades={1: with_currency})(look)
    add_old("look", 1, {"amount": 1})
    engine = engine_for("default")
    [claim] = engine.claim("default", "default", worker="w", limit=1, lease_seconds=60)

    run_attempt(Assignment(claim, registry.get("default", "look")))

    assert GOT == [{"amount": 1, "currency": "EUR"}]


@dataclass
class Money:
    amount: Decimal
    currency: str


def pay(payload: Money) -> None:
    GOT.append({"payload": payload})


def as_text(payload: dict[str, Any]) -> dict[str, Any]:
    return payload | {"amount": Decimal(payload["amount"]) / 100, "currency": "EUR"}


def test_an_upgraded_payload_is_held_to_the_types_of_the_current_one() -> None:
    job(version=2, upgrades={1: as_text})(pay)
    fit = add_old("pay", 1, {"amount": 990})
    unfit = add_old("pay", 1, {"amount": 5, "tip": 1})

    assert work(fit).state == "completed"
    assert [{"payload": Money(Decimal("9.9"), "EUR")}] == GOT
    assert work(unfit).error == "payload: does not fit Money. 'tip' is not a field. Known: amount, currency."


def failing(payload: dict[str, Any]) -> dict[str, Any]:
    raise KeyError("amount")


def forgetful(payload: dict[str, Any]) -> None:
    payload["currency"] = "EUR"


@pytest.mark.parametrize(
    ("upgrade", "error"),
    [
        (failing, "payload: tests.front.test_versions.failing() cannot upgrade it from version 1. KeyError: 'amount'"),
        (
            forgetful,
            "payload: tests.front.test_versions.forgetful() must return that of version 2, got NoneType.",
        ),
        (lambda payload: {"amount": {1, 2}}, 'payload["amount"]: set is not JSON. Pass a sorted list.'),
    ],
)
def test_an_upgrade_that_fails_ends_the_run_as_failed(upgrade: Callable[..., Any], error: str) -> None:
    job(version=2, upgrades={1: upgrade})(charge)

    run = work(add_old("charge", 1, {"amount": 5}))

    assert (run.state, run.reason, run.error, run.failures) == ("failed", "invalid_payload", error, 1)
    assert GOT == []


@pytest.mark.parametrize("payload", [[1], "text", 5, None])
def test_a_stored_payload_that_is_no_mapping_ends_the_run_as_failed(payload: Any) -> None:
    job(version=2, upgrades={1: in_cents})(charge)

    for version in (1, 2):
        run = work(add_old("charge", version, payload))
        assert (run.state, run.reason) == ("failed", "invalid_payload")


def test_an_upgrade_may_be_named_in_settings(settings: Settings, write_module: WriteModule) -> None:
    write_module(
        "billing",
        """
        def charge(amount, currency): ...

        def with_currency(payload):
            return payload | {"currency": "EUR"}
        """,
    )
    settings.JOBQUEUE = {
        "queues": {
            "default": {
                "jobs": {"bill": {"run": "billing.charge", "version": 2, "upgrades": {1: "billing.with_currency"}}}
            }
        }
    }

    assert problems() == []
    assert work(add_old("bill", 1, {"amount": 5})).state == "completed"
    assert queues.default.add("bill", {"amount": 5, "currency": "EUR"}).version == 2


def test_a_replay_upgrades_the_payload() -> None:
    job(version=2, upgrades={1: with_currency})(charge)
    old = work(add_old("charge", 1, {"amount": 5}))

    run = operations.replay(old.pk, actor="tests")

    assert (run.version, run.payload) == (2, {"amount": 5, "currency": "EUR"})


def test_a_replay_of_a_later_version_is_refused() -> None:
    job(charge)
    run = add_old("charge", 2, {"amount": 5})
    operations.cancel(run.pk, actor="tests")

    with pytest.raises(PayloadError, match=r"^payload: is of version 2, and this release knows 1\.$"):
        operations.replay(run.pk, actor="tests")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"version": 3, "upgrades": {1: in_cents}},
            "its version is 3, but nothing upgrades payloads of version 2. Give upgrades={2: function}.",
        ),
        (
            {"version": 3, "upgrades": {2: in_cents}},
            "its version is 3, but nothing upgrades payloads of version 1. Give upgrades={1: function}.",
        ),
        ({"version": 2}, "its version is 2, but nothing upgrades payloads of version 1. Give upgrades={1: function}."),
        (
            {"version": 2, "upgrades": {1: in_cents, 2: in_cents}},
            "upgrades[2] is never used, for its version is 2. Raise version, or remove it.",
        ),
        ({"upgrades": {1: in_cents}}, "upgrades[1] is never used, for its version is 1. Raise version, or remove it."),
        (
            {"version": 2, "upgrades": {1: "billing.nowhere"}},
            "upgrades[1]: 'billing' cannot be imported: No module named 'billing'.",
        ),
    ],
)
def test_an_upgrade_that_is_missing_is_a_problem(options: dict[str, Any], told: str) -> None:
    job(**options)(charge)

    assert problems() == [f"Job 'charge' of queue 'default' (tests.front.test_versions.charge): {told}"]
    with pytest.raises(ConfigError):
        queues.default.add("charge", {"amount": 5})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"version": 0}, '["version"]: must be a whole number from 1 to 10000, got 0'),
        ({"upgrades": [in_cents]}, '["upgrades"]: must be a mapping, got [<function in_cents at'),
        ({"upgrades": {"1": in_cents}}, "[\"upgrades\"]: must be a whole number of at least 1, got '1'"),
        ({"upgrades": {1: 5}}, '["upgrades"][1]: must be a function, or a dotted path such as'),
        ({"aliases": "old"}, "[\"aliases\"]: must be a list of names, got 'old'"),
        ({"aliases": ["old", "an old one"]}, "[\"aliases\"][1]: 'an old one' is not a valid name."),
        ({"payload_schema": 5}, '["payload_schema"]: must be a type, or a dotted path such as'),
        ({"payload_schema": "Order"}, '["payload_schema"]: must be a type, or a dotted path such as'),
        ({"stability": "shaky"}, "[\"stability\"]: must be one of 'experimental', 'stable', 'deprecated', got 'shaky'"),
        ({"owners": "billing"}, "[\"owners\"]: must be a list of texts, got 'billing'"),
    ],
)
def test_an_option_of_the_wrong_type_is_a_problem(options: dict[str, Any], told: str) -> None:
    job(**options)(charge)

    [problem] = problems()
    assert problem.startswith(f"@job tests.front.test_versions.charge{told}")


# --- Aliases ---------------------------------------------------------------------------------------------------------


def test_waiting_runs_and_old_code_find_a_job_by_the_names_that_it_had() -> None:
    job(name="bill", aliases=["charge", "debit"])(charge)
    waiting = add_old("charge", 1, {"amount": 1})

    added = queues.default.add("debit", {"amount": 2})

    assert added.job == Run.objects.get(pk=added.pk).job == "bill"
    assert (work(waiting).state, work(added).state) == ("completed", "completed")
    assert GOT == [{"amount": 1}, {"amount": 2}]


def test_an_alias_is_no_job_of_its_own() -> None:
    job(name="bill", aliases=["charge"])(charge)

    assert list(queues.default.jobs) == ["bill"]
    with pytest.raises(UnknownJob, match="Did you mean 'bill'"):
        queues.default.add("bil")
    assert problems() == []


def test_an_alias_may_stand_in_settings_and_goes_with_them(settings: Settings) -> None:
    job(name="bill")(charge)

    settings.JOBQUEUE = {"queues": {"default": {"jobs": {"bill": {"aliases": ["charge"]}}}}}
    assert queues.default.add("charge").job == "bill"

    settings.JOBQUEUE = {}
    with pytest.raises(UnknownJob):
        queues.default.add("charge")


def test_an_alias_holds_in_its_queue_only(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}}}
    job(name="bill", aliases=["charge"])(charge)

    with pytest.raises(UnknownJob):
        queues.mail.add("charge")


def test_a_job_that_is_declared_later_is_found_by_its_alias() -> None:
    with pytest.raises(UnknownJob):
        queues.default.add("debit")

    job(name="bill", aliases=["debit"])(charge)

    assert queues.default.add("debit").job == "bill"


def test_an_alias_that_is_the_name_of_a_job_is_a_problem_and_the_job_wins() -> None:
    job(charge)
    job(name="debit", aliases=["charge"])(pay)

    assert problems() == ["Job 'debit' of queue 'default': its alias 'charge' is the name of a job. Remove it."]
    assert queues.default.add("charge").job == "charge"


def test_an_alias_of_two_jobs_is_a_problem_and_finds_neither() -> None:
    told = "Jobs 'bill' and 'pay' of queue 'default' have the same alias 'debit'. Leave it to one."
    job(name="bill", aliases=["debit"])(charge)
    job(aliases=["debit"])(pay)

    assert problems() == [told]
    with pytest.raises(ConfigError, match="have the same alias 'debit'"):
        queues.default.add("debit")


def test_a_job_that_cannot_work_keeps_no_other_from_its_alias() -> None:
    job(name="bill", aliases=["debit"])(charge)
    job(name="broken", version=2)(charge)

    assert queues.default.add("debit").job == "bill"


# --- Schemas ---------------------------------------------------------------------------------------------------------


def test_a_declared_schema_types_the_arguments_of_a_job_without_annotations(
    settings: Settings, write_module: WriteModule
) -> None:
    write_module(
        "billing",
        """
        from dataclasses import dataclass
        from decimal import Decimal

        got = []

        @dataclass
        class Money:
            amount: Decimal
            currency: str = "EUR"

        def charge(amount, currency):
            got.append((amount, currency))
        """,
    )
    options = {"run": "billing.charge", "payload_schema": "billing.Money"}
    settings.JOBQUEUE = {"queues": {"default": {"jobs": {"bill": options}}}}
    import billing  # type: ignore[import-not-found]

    runs = [queues.default.add("bill", payload) for payload in (billing.Money(Decimal("1.5")), {"amount": "2.5"})]

    assert [work(run).state for run in runs] == ["completed", "completed"]
    assert billing.got == [(Decimal("1.5"), "EUR"), (Decimal("2.5"), "EUR")]
    with pytest.raises(PayloadError, match=r'^payload\["amount"\]: must be a Decimal, got 2.5.'):
        queues.default.add("bill", {"amount": 2.5})


def test_a_schema_that_cannot_be_imported_is_a_problem() -> None:
    job(payload_schema="billing.Money")(charge)

    assert problems() == [
        "Job 'charge' of queue 'default' (tests.front.test_versions.charge): payload_schema: "
        "'billing' cannot be imported: No module named 'billing'."
    ]


def test_a_schema_has_an_id() -> None:
    job(version=2, upgrades={1: in_cents})(charge)
    job(payload_schema_id="urn:pay")(pay)

    jobs = queues.default.jobs
    assert (jobs["charge"].payload_schema_id, jobs["pay"].payload_schema_id) == ("default.charge@2", "urn:pay")


def test_a_job_says_who_owns_it_and_how_stable_it_is() -> None:
    job(owners=["billing", "ada"], stability="deprecated")(charge)

    options = queues.default.jobs["charge"].options
    assert (options.owners, options.stability) == (("billing", "ada"), "deprecated")
