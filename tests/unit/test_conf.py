"""Settings become dataclasses, or one ConfigError that names every mistake, its place and what is wanted."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, fields
from itertools import pairwise
from typing import Any

import pytest
from django.test import override_settings
from pytest_django import Settings

from django_jobqueue.conf import (
    Config,
    JobConfig,
    JobOptions,
    Preflight,
    QueueConfig,
    WorkerConfig,
    contradictions,
    get_config,
    options,
    parse_job_options,
)
from django_jobqueue.errors import ConfigError
from django_jobqueue.limits import Rate
from django_jobqueue.retry import Backoff
from django_jobqueue.states import Delivery

pytestmark = pytest.mark.sqlite  # no database is asked

SECTIONS = [Config, WorkerConfig, QueueConfig, JobConfig, JobOptions, Preflight]
WEEK = 604_800


@pytest.fixture(autouse=True)
def no_settings(settings: Settings) -> None:
    settings.JOBQUEUE = {}


def configured(jobqueue: Any) -> Config:
    with override_settings(JOBQUEUE=jobqueue):
        return get_config()


def problems(jobqueue: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        configured(jobqueue)
    return caught.value.problems


def problem(jobqueue: Any) -> str:
    [only] = problems(jobqueue)
    return only


def mail(**given: Any) -> dict[str, Any]:
    return {"queues": {"mail": given}}


# --- What is read --------------------------------------------------------------------------------------------------


def test_without_settings_there_is_one_queue_and_all_defaults(settings: Settings) -> None:
    del settings.JOBQUEUE

    assert get_config() == Config(
        queues={"default": QueueConfig(name="default", lease_seconds=30.0)},
        database="default",
        namespace="default",
        worker=WorkerConfig(lease_seconds=30.0, concurrency=8, grace_seconds=25.0, poll_seconds=1.4),
        payload_max_bytes=262_144,
    )


def test_a_queue_has_the_documented_defaults() -> None:
    assert configured(mail()).queues["mail"] == QueueConfig(
        name="mail",
        jobs={},
        job_defaults={},
        concurrent_jobs=None,
        batch_size=500,
        lease_seconds=30.0,
        run_on_startup=True,
    )


def test_a_job_has_the_documented_defaults() -> None:
    assert JobOptions.merged() == JobOptions(
        title="",
        description="",
        priority=0,
        max_attempts=3,
        max_crashes=3,
        backoff=Backoff(
            mode="exponential", initial_seconds=1.0, max_seconds=60.0, multiplier=2.0, jitter=0.2, delays_seconds=()
        ),
        delivery=Delivery.AT_LEAST_ONCE,
        expires_after_seconds=None,
        tags=(),
        unique=None,
        unique_key=None,
        preflight=Preflight(on_before_add=None, okay_to_run=None, requeue_delay_seconds=10.0),
    )


def test_the_default_queue_is_there_beside_declared_ones() -> None:
    assert set(configured(mail()).queues) == {"default", "mail"}


def test_the_default_queue_can_be_declared() -> None:
    assert configured({"queues": {"default": {"concurrent_jobs": 2}}}).queues["default"].concurrent_jobs == 2


def test_every_option_can_be_set() -> None:
    read = configured(
        {
            "database": "default",
            "namespace": "blue",
            "payload_max_bytes": 1000,
            "worker": {"lease_seconds": 60, "concurrency": 2, "grace_seconds": 0, "poll_seconds": 0.5},
            "queues": {
                "mail": {
                    "concurrent_jobs": 10,
                    "batch_size": 7,
                    "lease_seconds": 90,
                    "run_on_startup": False,
                    "max_attempts": 9,
                    "jobs": {
                        "send": "shop.jobs.send",
                        "digest": {
                            "run": "shop.jobs.digest",
                            "title": "Digest",
                            "description": "Once a day.",
                            "priority": -5,
                            "max_attempts": 1,
                            "max_crashes": 2,
                            "backoff": {"mode": "custom", "delays_seconds": [1, 2.5], "jitter": 0},
                            "delivery": "at_most_once",
                        },
                        "in_code": {"priority": 1},
                    },
                }
            },
        }
    )

    assert (read.database, read.namespace, read.payload_max_bytes) == ("default", "blue", 1000)
    assert read.worker == WorkerConfig(lease_seconds=60.0, concurrency=2, grace_seconds=0.0, poll_seconds=0.5)
    assert read.queues["mail"] == QueueConfig(
        name="mail",
        concurrent_jobs=10,
        batch_size=7,
        lease_seconds=90.0,
        run_on_startup=False,
        job_defaults={"max_attempts": 9},
        jobs={
            "send": JobConfig(name="send", run="shop.jobs.send", options={}),
            "digest": JobConfig(
                name="digest",
                run="shop.jobs.digest",
                options={
                    "title": "Digest",
                    "description": "Once a day.",
                    "priority": -5,
                    "max_attempts": 1,
                    "max_crashes": 2,
                    "backoff": Backoff(mode="custom", delays_seconds=(1.0, 2.5), jitter=0.0),
                    "delivery": Delivery.AT_MOST_ONCE,
                },
            ),
            "in_code": JobConfig(name="in_code", run=None, options={"priority": 1}),
        },
    )


def test_the_lease_of_a_queue_is_that_of_the_worker_unless_it_has_its_own() -> None:
    read = configured({"worker": {"lease_seconds": 60}, "queues": {"mail": {}, "slow": {"lease_seconds": 90}}})

    assert {name: queue.lease_seconds for name, queue in read.queues.items()} == {
        "default": 60,
        "mail": 60,
        "slow": 90,
    }


def test_whole_seconds_are_floats_like_all_others() -> None:
    assert isinstance(configured(mail(lease_seconds=60)).queues["mail"].lease_seconds, float)


def test_options_of_a_job_win_over_those_of_its_queue_and_leave_the_rest() -> None:
    queue = configured(
        mail(max_attempts=9, priority=1, backoff={"multiplier": 3}, jobs={"send": {"priority": 2}})
    ).queues["mail"]

    merged = JobOptions.merged(queue.job_defaults, queue.jobs["send"].options)

    assert merged == JobOptions(max_attempts=9, priority=2, backoff=Backoff(multiplier=3))


def test_later_options_win_when_they_are_merged() -> None:
    merged = JobOptions.merged({"priority": 1, "title": "a"}, {"priority": 2}, {"priority": 3})

    assert (merged.priority, merged.title) == (3, "a")


def test_the_configuration_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        get_config().namespace = "other"  # type: ignore[misc]


# --- When it is read -----------------------------------------------------------------------------------------------


def test_settings_are_read_once() -> None:
    assert get_config() is get_config()


def test_changed_settings_are_read_again() -> None:
    before = get_config()

    with override_settings(JOBQUEUE={"namespace": "blue"}):
        assert get_config().namespace == "blue"
    assert get_config() == before


def test_other_settings_do_not_make_it_read_again() -> None:
    before = get_config()

    with override_settings(USE_THOUSAND_SEPARATOR=True):
        assert get_config() is before


@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES:UserWarning")
def test_changed_databases_are_read_again(settings: Settings) -> None:
    with (
        override_settings(DATABASES={**settings.DATABASES, "jobs": {}}),
        override_settings(JOBQUEUE={"database": "jobs"}),
    ):
        assert get_config().database == "jobs"

        with override_settings(DATABASES={"default": {}}), pytest.raises(ConfigError):
            get_config()


@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES:UserWarning")
def test_the_default_database_must_exist_too() -> None:
    with override_settings(DATABASES={"main": {}}):
        assert problem({}) == """JOBQUEUE["database"]: 'default' is not an alias of DATABASES. Known: main."""


# --- What is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jobqueue", "expected"),
    [
        ({"queue": {}}, "JOBQUEUE: unknown option 'queue'. Did you mean 'queues'?"),
        (
            {"worker": {"grace_second": 1}},
            """JOBQUEUE["worker"]: unknown option 'grace_second'. Did you mean 'grace_seconds'?""",
        ),
        (
            mail(concurent_jobs=1),
            """JOBQUEUE["queues"]["mail"]: unknown option 'concurent_jobs'. Did you mean 'concurrent_jobs'?""",
        ),
        (
            mail(max_atempts=1),
            """JOBQUEUE["queues"]["mail"]: unknown option 'max_atempts'. Did you mean 'max_attempts'?""",
        ),
        (
            mail(jobs={"send": {"runs": "a.b"}}),
            """JOBQUEUE["queues"]["mail"]["jobs"]["send"]: unknown option 'runs'. Did you mean 'run'?""",
        ),
        (
            mail(backoff={"initial": 1}),
            """JOBQUEUE["queues"]["mail"]["backoff"]: unknown option 'initial'. Did you mean 'initial_seconds'?""",
        ),
        (
            {"worker": {1: 2}},
            """JOBQUEUE["worker"]: unknown option 1. Known: concurrency, grace_seconds, lease_seconds, poll_seconds, recycle_after_leaks, recycle_after_megabytes, recycle_after_runs.""",
        ),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_name(jobqueue: Any, expected: str) -> None:
    assert problem(jobqueue) == expected


@pytest.mark.parametrize("option", ["name", "job_defaults", "run"])
def test_a_field_that_is_no_option_cannot_be_set_at_a_queue(option: str) -> None:
    assert f"unknown option {option!r}" in problem(mail(**{option: "x"}))


@pytest.mark.parametrize("option", ["name", "queue", "options", "batch_size", "lease_seconds"])
def test_a_field_that_is_no_option_cannot_be_set_at_a_job(option: str) -> None:
    assert f"unknown option {option!r}" in problem(mail(jobs={"send": {option: "x"}}))


@pytest.mark.parametrize(
    ("jobqueue", "path"),
    [
        ([], "JOBQUEUE"),
        (None, "JOBQUEUE"),
        ({"worker": 5}, 'JOBQUEUE["worker"]'),
        ({"queues": ["mail"]}, 'JOBQUEUE["queues"]'),
        ({"queues": {"mail": None}}, 'JOBQUEUE["queues"]["mail"]'),
        (mail(jobs=["send"]), 'JOBQUEUE["queues"]["mail"]["jobs"]'),
        (mail(backoff=5), 'JOBQUEUE["queues"]["mail"]["backoff"]'),
    ],
)
def test_a_section_must_be_a_mapping(jobqueue: Any, path: str) -> None:
    assert problem(jobqueue).startswith(f"{path}: must be a mapping, got ")


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("concurrent_jobs", "ten", "a whole number of at least 1, got 'ten'"),
        ("concurrent_jobs", 0, "a whole number of at least 1, got 0"),
        ("concurrent_jobs", True, "a whole number of at least 1, got True"),
        ("batch_size", 1.0, "a whole number from 1 to 1000, got 1.0"),
        ("batch_size", 0, "a whole number from 1 to 1000, got 0"),
        ("batch_size", 1001, "a whole number from 1 to 1000, got 1001"),
        ("batch_size", None, "a whole number from 1 to 1000, got None"),
        ("lease_seconds", 0.9, "a number from 1 to 86400, got 0.9"),
        ("lease_seconds", 86401, "a number from 1 to 86400, got 86401"),
        ("lease_seconds", float("nan"), "a number from 1 to 86400, got nan"),
        ("lease_seconds", float("inf"), "a number from 1 to 86400, got inf"),
        ("lease_seconds", True, "a number from 1 to 86400, got True"),
        ("lease_seconds", "30", "a number from 1 to 86400, got '30'"),
        ("run_on_startup", 1, "True or False, got 1"),
        ("title", 5, "text, got 5"),
        ("description", None, "text, got None"),
        ("priority", -101, "a whole number from -100 to 100, got -101"),
        ("priority", 101, "a whole number from -100 to 100, got 101"),
        ("max_attempts", 0, "a whole number from 1 to 1000, got 0"),
        ("max_attempts", 1001, "a whole number from 1 to 1000, got 1001"),
        ("max_attempts", -1, "a whole number from 1 to 1000, got -1"),
        ("max_attempts", 10**9, "a whole number from 1 to 1000, got 1000000000"),
        ("max_crashes", 0, "a whole number from 1 to 1000, got 0"),
        ("max_crashes", 1001, "a whole number from 1 to 1000, got 1001"),
        ("delivery", "exactly_once", "one of 'at_least_once', 'at_most_once', got 'exactly_once'"),
        ("expires_after_seconds", 0, "a number from 1 to 31622400, got 0"),
        ("expires_after_seconds", 31622401, "a number from 1 to 31622400, got 31622401"),
        ("expires_after_seconds", "60", "a number from 1 to 31622400, got '60'"),
        ("tags", "urgent", "a list of texts, got 'urgent'"),
        ("tags", {"urgent": 1}, "a list of texts, got {'urgent': 1}"),
        ("tags", ["a", ""], "text of 1 to 64 printable characters, got ''"),
        ("tags", ["a", 5], "text of 1 to 64 printable characters, got 5"),
        ("tags", ["a\n"], "text of 1 to 64 printable characters, got 'a\\n'"),
        ("tags", ["x" * 65], f"text of 1 to 64 printable characters, got '{'x' * 65}'"),
        ("tags", [0] * 21, f"a list of at most 20 texts, got {[0] * 21}"),
        ("delivery", ["at_most_once"], "one of 'at_least_once', 'at_most_once', got ['at_most_once']"),
        pytest.param("priority", 10**5000, "a whole number from -100 to 100, got <int>", id="endless-priority"),
        pytest.param("lease_seconds", 10**5000, "a number from 1 to 86400, got <int>", id="endless-lease"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_wanted(option: str, value: Any, wanted: str) -> None:
    assert problem(mail(**{option: value})) == f'JOBQUEUE["queues"]["mail"]["{option}"]: must be {wanted}'


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch_size", 1),
        ("batch_size", 1000),
        ("lease_seconds", 1),
        ("lease_seconds", 86400),
        ("concurrent_jobs", 1),
        ("concurrent_jobs", None),
    ],
)
def test_the_bounds_of_queue_options_belong_to_them(option: str, value: Any) -> None:
    assert getattr(configured(mail(**{option: value})).queues["mail"], option) == value


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("priority", -100),
        ("priority", 100),
        ("max_attempts", 1),
        ("max_crashes", 1000),
        ("expires_after_seconds", 1),
        ("expires_after_seconds", 366 * 86400),
        ("expires_after_seconds", None),
        ("tags", ()),
        ("tags", tuple("abcdefghijklmnopqrst")),
    ],
)
def test_the_bounds_of_job_options_belong_to_them(option: str, value: Any) -> None:
    assert parse_job_options("@job", {option: value}) == {option: value}


@pytest.mark.parametrize(
    ("option", "least", "most"),
    [("lease_seconds", 1, 86400), ("concurrency", 1, 1000), ("grace_seconds", 0, 86400), ("poll_seconds", 0.01, 60)],
)
def test_worker_options_have_bounds(option: str, least: float, most: float) -> None:
    for value in (least, most):
        assert getattr(configured({"worker": {option: value}}).worker, option) == value
    for value in (least - 0.001 if option != "concurrency" else 0, most + 1):
        assert problem({"worker": {option: value}}).startswith(f'JOBQUEUE["worker"]["{option}"]: must be a ')


@pytest.mark.parametrize("value", [0, 64 * 1024 * 1024 + 1])
def test_the_size_of_payloads_has_bounds(value: int) -> None:
    assert problem({"payload_max_bytes": value}) == (
        f'JOBQUEUE["payload_max_bytes"]: must be a whole number from 1 to 67108864, got {value}'
    )


@pytest.mark.parametrize("value", ["typo", 5, None])
def test_the_database_must_be_an_alias(value: Any) -> None:
    assert problem({"database": value}) == (
        f"""JOBQUEUE["database"]: {value!r} is not an alias of DATABASES. Known: default."""
    )


@pytest.mark.parametrize("value", ["send", "", ".send", "shop.", "shop:send", "shop.class", "shop jobs.send", 5, None])
def test_a_job_must_be_a_dotted_path_or_a_mapping(value: Any) -> None:
    wanted = f"must be a dotted path such as 'shop.jobs.send_mail', got {value!r}"
    path = 'JOBQUEUE["queues"]["mail"]["jobs"]["send"]'

    assert problem(mail(jobs={"send": value})) == f"{path}: {wanted}"
    assert problem(mail(jobs={"send": {"run": value}})) == f'{path}["run"]: {wanted}'


NO_NAMES = ["", " mail", "mail ", "ma il", "1mail", "-mail", "mäil", "mail\n", "../mail", "%s", "'; DROP TABLE", "😀"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_are_plain(name: str) -> None:
    rule = "ASCII letters, digits, '_', '.', ':' and '-', beginning with a letter or '_'."

    assert problem({"queues": {name: {}}}) == (f'JOBQUEUE["queues"]: {name!r} is not a valid name. Use 1 to 100 {rule}')
    assert problem(mail(jobs={name: "a.b"})) == (
        f'JOBQUEUE["queues"]["mail"]["jobs"]: {name!r} is not a valid name. Use 1 to 200 {rule}'
    )
    assert problem({"namespace": name}) == (f'JOBQUEUE["namespace"]: {name!r} is not a valid name. Use 1 to 64 {rule}')


def test_a_name_must_be_text() -> None:
    assert problem({"queues": {5: {}}}).startswith('JOBQUEUE["queues"]: 5 is not a valid name.')


def test_names_have_a_greatest_length() -> None:
    queue, job, namespace = "q" * 100, "_" + "j.:-" * 49 + "123", "n" * 64

    read = configured({"namespace": namespace, "queues": {queue: {"jobs": {job: "a.b"}}}})

    assert (read.namespace, list(read.queues[queue].jobs)) == (namespace, [job])
    assert (
        len(problems({"namespace": f"{namespace}x", "queues": {f"{queue}x": {}, "mail": {"jobs": {f"{job}x": {}}}}}))
        == 3
    )


def test_all_problems_are_told_together() -> None:
    found = problems(
        {
            "databse": "x",
            "namespace": "",
            "worker": {"concurrency": 0, "poll_seconds": 0},
            "queues": {
                "bad name": {"batch_size": 0},
                "mail": {"lease_seconds": 0, "jobs": {"bad job": "nodots", "send": {"priority": "high", "nope": 1}}},
            },
        }
    )

    assert [text.split(": ")[0] for text in found] == [
        "JOBQUEUE",
        'JOBQUEUE["namespace"]',
        'JOBQUEUE["worker"]["concurrency"]',
        'JOBQUEUE["worker"]["poll_seconds"]',
        'JOBQUEUE["queues"]',
        'JOBQUEUE["queues"]["bad name"]["batch_size"]',
        'JOBQUEUE["queues"]["mail"]["lease_seconds"]',
        'JOBQUEUE["queues"]["mail"]["jobs"]',
        'JOBQUEUE["queues"]["mail"]["jobs"]["bad job"]',
        'JOBQUEUE["queues"]["mail"]["jobs"]["send"]["priority"]',
        'JOBQUEUE["queues"]["mail"]["jobs"]["send"]',
    ]


# --- Backoff -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Backoff()),
        ({"initial_seconds": 0, "max_seconds": 0}, Backoff(initial_seconds=0, max_seconds=0)),
        ({"mode": "fixed", "initial_seconds": WEEK}, Backoff(mode="fixed", initial_seconds=WEEK)),
        ({"max_seconds": WEEK, "multiplier": 1, "jitter": 1}, Backoff(max_seconds=WEEK, multiplier=1, jitter=1)),
        ({"mode": "custom", "delays_seconds": (0, WEEK)}, Backoff(mode="custom", delays_seconds=(0, WEEK))),
    ],
)
def test_a_backoff_is_a_mapping_of_its_fields(given: Mapping[str, Any], expected: Backoff) -> None:
    assert parse_job_options("@job", {"backoff": given}) == {"backoff": expected}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"mode": "linear"},
            """["mode"]: must be one of 'fixed', 'exponential', 'custom', got 'linear'""",
        ),
        ({"initial_seconds": -1}, '["initial_seconds"]: must be a number from 0 to 604800, got -1'),
        ({"initial_seconds": float("nan")}, '["initial_seconds"]: must be a number from 0 to 604800, got nan'),
        ({"max_seconds": WEEK + 1}, '["max_seconds"]: must be a number from 0 to 604800, got 604801'),
        ({"multiplier": 0.5}, '["multiplier"]: must be a number from 1 to 1000, got 0.5'),
        ({"jitter": 1.1}, '["jitter"]: must be a number from 0 to 1, got 1.1'),
        (
            {"mode": "custom", "delays_seconds": []},
            '["delays_seconds"]: must be a list of at least one number, got []',
        ),
        (
            {"mode": "custom", "delays_seconds": 5},
            '["delays_seconds"]: must be a list of at least one number, got 5',
        ),
        (
            {"mode": "custom", "delays_seconds": [1, -1]},
            '["delays_seconds"][1]: must be a number from 0 to 604800, got -1',
        ),
        ({"mode": "custom"}, ": mode 'custom' needs delays_seconds"),
        ({"delays_seconds": [1]}, """["delays_seconds"]: not read in mode 'exponential'"""),
        ({"mode": "fixed", "max_seconds": 5}, """["max_seconds"]: not read in mode 'fixed'"""),
        ({"initial_seconds": 90}, ": initial_seconds (90) is more than max_seconds (60)"),
    ],
)
def test_a_backoff_that_cannot_work_is_refused(given: Mapping[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_job_options("@job shop.send", {"backoff": given})

    assert caught.value.problems == (f'@job shop.send["backoff"]{expected}',)


def test_all_bad_delays_are_told_together() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_job_options("@job", {"backoff": {"mode": "custom", "delays_seconds": ["a", 1, "b"]}})

    assert [text.split(": ")[0] for text in caught.value.problems] == [
        '@job["backoff"]["delays_seconds"][0]',
        '@job["backoff"]["delays_seconds"][2]',
    ]


def test_every_field_of_a_backoff_can_be_set() -> None:
    assert set(options.BACKOFF_PARSERS) == {item.name for item in fields(Backoff)}


# --- Options in code -----------------------------------------------------------------------------------------------


def test_options_in_code_are_parsed_like_those_in_settings() -> None:
    parsed = parse_job_options("@job shop.send", {"delivery": "at_most_once", "priority": 5})

    assert parsed == {"delivery": Delivery.AT_MOST_ONCE, "priority": 5}
    assert isinstance(parsed["delivery"], Delivery)


def test_problems_of_options_in_code_begin_with_the_place() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_job_options("@job shop.send", {"max_attempts": 0, "prio": 5})

    assert caught.value.problems == (
        '@job shop.send["max_attempts"]: must be a whole number from 1 to 1000, got 0',
        "@job shop.send: unknown option 'prio'. Did you mean 'priority'?",
    )


# --- What the options say ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("section", SECTIONS)
def test_every_option_says_below_its_field_what_it_means(section: type[Any]) -> None:
    tree = ast.parse(inspect.getsource(sys.modules[section.__module__]))
    [body] = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == section.__name__]
    documented = {
        field.target.id
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    }

    assert documented == {item.name for item in fields(section)}


# --- Limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/m", Rate(100, 60)),
        ("1/s", Rate(1, 1)),
        ("5000/h", Rate(5000, 3600)),
        ("10/d", Rate(10, 86400)),
        ("5/10s", Rate(5, 10)),
        ("3/2m", Rate(3, 120)),
    ],
)
def test_a_rate_is_a_number_in_a_time(text: str, rate: Rate) -> None:
    assert configured(mail(rate_limit=text)).queues["mail"].rate_limit == rate
    assert str(rate) == text


@pytest.mark.parametrize(
    "rate", ["", "100", "100/", "/m", "0/m", "100/w", "1.5/m", "100 / m", "100/0m", "-1/m", "٣/m", 5, None, ["1/m"]]
)
def test_anything_else_is_no_rate(rate: object) -> None:
    if rate is None:
        assert configured(mail(rate_limit=rate)).queues["mail"].rate_limit is None
        return
    assert problem(mail(rate_limit=rate)) == (
        'JOBQUEUE["queues"]["mail"]["rate_limit"]: must be a number of starts and a unit of time, s, m, h or d, such as '
        f'"100/m" or "5/10s", got {rate!r}'
    )


@pytest.mark.parametrize("key", ["customer", "shop.keys.of_customer", len])
def test_a_key_is_a_field_or_a_function(key: object) -> None:
    assert parse_job_options("@job", {"concurrency_key": key, "rate_key": key}) == {
        "concurrency_key": key,
        "rate_key": key,
    }


@pytest.mark.parametrize("key", ["", "customer id", "shop..keys", "lambda", 5])
def test_anything_else_is_no_key(key: object) -> None:
    with pytest.raises(ConfigError, match=r"concurrency_key.*must be the name of a payload field, or the dotted path"):
        parse_job_options("@job", {"concurrency_key": key})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"keep_order": True},
            "keep_order needs concurrent_jobs_per_key 1 beside it: what runs at the same time has no order",
        ),
        (
            {"keep_order": True, "concurrent_jobs_per_key": 2},
            "keep_order needs concurrent_jobs_per_key 1 beside it: what runs at the same time has no order",
        ),
        (
            {"concurrent_jobs": 2, "concurrent_jobs_per_key": 3},
            "concurrent_jobs_per_key (3) is more than concurrent_jobs (2)",
        ),
        ({"rate_burst": 5}, "rate_burst is not read without rate_limit"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(given: dict[str, Any], told: str) -> None:
    assert problem(mail(**given)) == f'JOBQUEUE["queues"]["mail"]: {told}'
    assert list(contradictions(JobOptions(**given))) == [told]


def test_limits_that_fit_together_are_not() -> None:
    configured(mail(keep_order=True, concurrent_jobs_per_key=1, concurrent_jobs=1, rate_limit="5/s", rate_burst=5))
