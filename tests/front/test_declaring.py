"""Jobs are declared in the settings, in code, or in both; every mistake is told by the checks, none at import."""

from __future__ import annotations

import asyncio
import copy
import functools
import importlib
import inspect
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.core import checks
from pytest_django import Settings

from django_jobqueue import RunContext, job, queues
from django_jobqueue.conf import Preflight
from django_jobqueue.errors import ConfigError, UnknownJob, UnknownQueue
from django_jobqueue.jobs import JobDefinition, registry
from django_jobqueue.models import Run
from django_jobqueue.queue import Job
from django_jobqueue.retry import Backoff
from django_jobqueue.states import Delivery
from tests.front.conftest import WriteModule, send
from tests.payloads.records import Item, Order, Tree

HERE = __name__


def greet(name: str, *, loud: bool = False, run: RunContext | None = None) -> str:
    """Say hello."""
    return f"Hello {name}{'!' if loud else '.'}"


async def fetch(url: str) -> str:
    """Answer with the page."""
    return f"<{url}>"


@pytest.fixture(autouse=True)
def mail(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}}}


def configure(settings: Settings, jobs: dict[str, Any], **queue: Any) -> None:
    """Let the queue ``mail`` have these jobs and options in the settings."""
    settings.JOBQUEUE = {"queues": {"mail": {"jobs": jobs, **queue}}}


def problems() -> list[str]:
    """What the system checks say of the jobs."""
    found = checks.run_checks(tags=["jobqueue"])
    assert {message.id for message in found} <= {"jobqueue.E002"}
    return [message.msg for message in found]


def definition(name: str) -> JobDefinition:
    return registry.get("mail", name)


# --- What @job makes -------------------------------------------------------------------------------------------------


def test_a_function_becomes_a_job_of_the_default_queue_under_its_own_name() -> None:
    declared = job(greet)

    assert isinstance(declared, Job)
    assert repr(declared) == "<Job default.greet>"
    assert queues.default.jobs["greet"].function is greet


@pytest.mark.parametrize(
    ("arguments", "queue", "name"),
    [
        ({}, "default", "greet"),
        ({"queue": "mail"}, "mail", "greet"),
        ({"name": "hello"}, "default", "hello"),
        ({"queue": "mail", "name": "hello.world-2:a"}, "mail", "hello.world-2:a"),
    ],
)
def test_queue_and_name_may_be_given(arguments: dict[str, str], queue: str, name: str) -> None:
    job(**arguments)(greet)

    assert queues[queue].jobs[name].function is greet


def test_a_job_is_called_as_its_function() -> None:
    declared = job(queue="mail")(greet)

    assert declared("Ada") == "Hello Ada."
    assert declared(name="Ada", loud=True) == "Hello Ada!"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        declared()  # type: ignore[call-arg]


def test_an_async_job_is_awaited_as_its_function() -> None:
    declared = job(queue="mail")(fetch)

    assert asyncio.run(declared("page")) == "<page>"
    assert definition("fetch").is_async


def test_an_async_job_is_seen_to_be_async() -> None:
    assert iscoroutinefunction(job(queue="mail")(fetch))
    assert not iscoroutinefunction(job(queue="mail")(greet))


def test_a_job_looks_like_its_function() -> None:
    declared: Any = job(queue="mail", name="hello")(greet)

    assert declared.__name__ == "greet"
    assert declared.__qualname__ == "greet"
    assert declared.__module__ == HERE
    assert declared.__doc__ == "Say hello."
    assert declared.__wrapped__ is greet
    assert inspect.signature(declared) == inspect.signature(greet)


def test_one_function_may_be_several_jobs() -> None:
    job(queue="mail", priority=1)(greet)
    job(queue="mail", name="greet_loudly", priority=2)(greet)
    job(priority=3)(greet)

    assert {name: job.options.priority for name, job in queues.mail.jobs.items()} == {"greet": 1, "greet_loudly": 2}
    assert queues.default.jobs["greet"].options.priority == 3
    assert problems() == []


@pytest.mark.django_db
def test_a_job_adds_itself() -> None:
    declared = job(queue="mail", name="hello", priority=5)(greet)

    run = declared.add({"name": "Ada"}, delay_seconds=60, max_attempts=2)

    assert run == Run.objects.get()
    assert (run.queue, run.job, run.payload) == ("mail", "hello", {"name": "Ada"})
    assert (run.priority, run.max_attempts) == (5, 2)
    assert (run.run_at - run.created_at).total_seconds() == 60


@pytest.mark.django_db
def test_a_job_that_adds_itself_checks_its_arguments() -> None:
    with pytest.raises(ValueError, match=r"does not fit greet\(\). 'name' is missing"):
        job(queue="mail")(greet).add({"loud": True})


def test_a_queue_without_its_keyword_is_told_so() -> None:
    with pytest.raises(TypeError, match="queue='mail'"):
        job("mail")  # type: ignore[call-overload]


# --- Options: the queue's, then @job's, then the settings' -----------------------------------------------------------

FIXED: dict[str, Any] = {"mode": "fixed"}
OPTIONS: dict[str, tuple[Any, Any, Any]] = {
    "title": ("Queue", "Code", "Settings"),
    "description": ("queue", "code", "settings"),
    "priority": (1, 2, 3),
    "max_attempts": (4, 5, 6),
    "max_crashes": (7, 8, 9),
    "timeout_seconds": (1.0, 2.0, 3.0),
    "executor": ("process", "thread", "process"),
    "backoff": (FIXED | {"initial_seconds": 1}, FIXED | {"initial_seconds": 2}, FIXED | {"initial_seconds": 3}),
    "atomic": (True, False, True),
    "delivery": ("at_most_once", "at_least_once", "at_most_once"),
    "expires_after_seconds": (60.0, 70.0, 80.0),
    "tags": (("queue",), ("code",), ("settings",)),
    "preflight": ({"requeue_delay_seconds": 1}, {"requeue_delay_seconds": 2}, {"requeue_delay_seconds": 3}),
    "owners": (("queue",), ("code",), ("settings",)),
    "stability": ("experimental", "deprecated", "experimental"),
    "aliases": (("of_queue",), ("in_code",), ("in_settings",)),
    "unique": ("pending", "live", 60),
    "payload_schema": (Item, Order, Tree),
    "payload_schema_id": ("of queue", "in code", "in settings"),
    "retry_on": ((ValueError,), (KeyError,), (OSError,)),
    "fail_on": ((ValueError,), (KeyError,), (OSError,)),
    "secret": (("name",), ("loud",), ("name", "loud")),
    "on_dead_letter": ("of_queue", "in_code", "in_settings"),
    "concurrency_key": ("name", "loud", "operator.itemgetter"),
    "rate_key": ("name", "loud", "operator.itemgetter"),
}
TOGETHER = {"version", "upgrades", "unique_key", "hard_timeout_seconds"}
OF_THE_QUEUE_AS_A_WHOLE = {"concurrent_jobs", "concurrent_jobs_per_key", "keep_order", "rate_limit", "rate_burst"}
"""What means another thing at the queue than at a job of it, and so is no default of its jobs."""


KINDS: dict[str, type[Any]] = {"backoff": Backoff, "preflight": Preflight}


def read(option: str) -> Any:
    return getattr(definition("greet").options, option)


def parsed(option: str, value: Any) -> Any:
    return KINDS[option](**value) if option in KINDS else value


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_comes_from_the_settings_of_the_job_or_from_code_or_from_its_queue(
    settings: Settings, option: str
) -> None:
    of_queue, in_code, in_settings = OPTIONS[option]
    job(queue="mail")(greet)
    default = read(option)

    configure(settings, {}, **{option: of_queue})
    assert read(option) == parsed(option, of_queue) != default

    job(queue="mail", **{option: in_code})(greet)
    assert read(option) == parsed(option, in_code) != parsed(option, of_queue)

    configure(settings, {"greet": {option: in_settings}}, **{option: of_queue})
    assert read(option) == parsed(option, in_settings) != parsed(option, in_code)


def test_no_option_is_left_out_here() -> None:
    job(queue="mail")(greet)

    of_jobs_only = {"schedule"}

    assert OPTIONS.keys() | TOGETHER | OF_THE_QUEUE_AS_A_WHOLE | of_jobs_only == set(
        definition("greet").options.__slots__
    )


def test_a_key_of_a_unique_job_may_come_from_another_place(settings: Settings) -> None:
    job(queue="mail", unique_key="loud")(greet)

    configure(settings, {"greet": {"unique_key": ["name", "loud"]}}, unique="live")

    assert (read("unique"), read("unique_key")) == ("live", ("name", "loud"))


def test_a_version_comes_with_its_upgrades_or_from_another_place(settings: Settings) -> None:
    job(queue="mail", version=2, upgrades={1: dict})(greet)
    assert (read("version"), definition("greet").upgrades) == (2, [dict])

    configure(settings, {"greet": {"version": 3, "upgrades": {1: "builtins.dict", 2: "copy.copy"}}}, version=9)
    assert (read("version"), definition("greet").upgrades) == (3, [dict, copy.copy])


def test_the_settings_win_option_by_option(settings: Settings) -> None:
    configure(settings, {"greet": {"max_attempts": 9}}, max_attempts=2, max_crashes=2, priority=2)
    job(queue="mail", max_attempts=5, priority=5, delivery="at_most_once")(greet)

    options = definition("greet").options

    assert options.max_attempts == 9
    assert options.priority == 5
    assert options.max_crashes == 2
    assert options.delivery is Delivery.AT_MOST_ONCE
    assert options.backoff == Backoff()


def test_a_setting_that_is_the_default_still_wins(settings: Settings) -> None:
    configure(settings, {"greet": {"priority": 0}}, priority=2)
    job(queue="mail", priority=5)(greet)

    assert read("priority") == 0


def test_wrong_options_are_found_by_the_checks_and_not_by_the_import() -> None:
    declared = job(queue="mail", max_atempts=5, priority="high", backoff={"mode": "fixd"})(greet)

    place = f"@job {HERE}.greet"
    expected = [
        f"{place}: unknown option 'max_atempts'. Did you mean 'max_attempts'?",
        f"{place}[\"priority\"]: must be a whole number from -100 to 100, got 'high'",
        f"{place}[\"backoff\"][\"mode\"]: must be one of 'fixed', 'exponential', 'custom', got 'fixd'",
    ]
    assert problems() == expected
    with pytest.raises(ConfigError) as caught:
        declared.add({"name": "Ada"})
    assert list(caught.value.problems) == expected
    assert declared("Ada") == "Hello Ada."


# --- Dotted paths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [f"{HERE}.greet", {"run": f"{HERE}.greet"}, {"run": f"{HERE}.greet", "priority": 3}])
def test_a_dotted_path_names_a_function(settings: Settings, run: Any) -> None:
    configure(settings, {"hello": run})

    assert problems() == []
    assert queues.mail.jobs["hello"].function is greet
    assert definition("hello").options.priority == (3 if "priority" in run else 0)


def test_a_dotted_path_names_a_job_with_its_options(settings: Settings, write_module: WriteModule) -> None:
    write_module(
        "letters",
        """
        from django_jobqueue import job

        @job(queue="mail", max_attempts=7, priority=1)
        def send(to): ...
        """,
    )
    configure(settings, {"send": {"run": "letters.send", "priority": 2}, "post": "letters.send"})

    assert problems() == []
    assert (definition("send").options.max_attempts, definition("send").options.priority) == (7, 2)
    assert (definition("post").options.max_attempts, definition("post").options.priority) == (7, 1)
    assert definition("post").function is definition("send").function
    assert definition("send").parameters.required == ("to",)


def test_nothing_is_imported_before_it_is_asked_for(settings: Settings, write_module: WriteModule) -> None:
    write_module("explosive", "raise RuntimeError('imported')")
    configure(settings, {"bomb": "explosive.bomb", "hello": f"{HERE}.greet"})

    assert definition("hello").function is greet
    with pytest.raises(ConfigError, match="RuntimeError: imported"):
        definition("bomb")


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        ("leters.send", "'leters' cannot be imported: No module named 'leters'."),
        (
            "letters.sub.send",
            "'letters.sub' cannot be imported: No module named 'letters.sub'; 'letters' is not a pack",
        ),
        ("broken.send", "'broken' cannot be imported: No module named 'nonesuch'."),
        ("letters.sned", "'letters' has no 'sned'. Did you mean 'send'?"),
        ("letters.nonesuch", "'letters' has no 'nonesuch'. Known: LIMIT, send."),
        ("letters.LIMIT", "'letters.LIMIT' is not a function, but int."),
    ],
)
def test_a_dotted_path_that_leads_nowhere_is_found_by_the_checks(
    settings: Settings, write_module: WriteModule, run: str, problem: str
) -> None:
    write_module("letters", "LIMIT = 5\ndef send(to): ...")
    write_module("broken", "import nonesuch")
    configure(settings, {"send": run})

    [found] = problems()

    assert found.startswith(f'JOBQUEUE["queues"]["mail"]["jobs"]["send"]["run"]: {problem}')
    with pytest.raises(ConfigError) as caught:
        queues.mail.add("send", {"to": "n1"})
    assert str(caught.value) == found


def test_all_mistakes_are_found_at_once(settings: Settings) -> None:
    configure(settings, {"a": "nowhere.a", "b": "nowhere.b", "c": {"priority": 1}})
    job(queue="mail", max_atempts=5)(greet)
    job(queue="mial")(send)

    assert len(problems()) == 5


def test_a_job_without_a_function_is_found_by_the_checks(settings: Settings) -> None:
    configure(settings, {"greet": {"priority": 1}})

    assert problems() == ['JOBQUEUE["queues"]["mail"]["jobs"]["greet"]: has no "run", and no @job declares it.']
    with pytest.raises(ConfigError):
        queues.mail.add("greet", {"name": "Ada"})


# --- One name, one function ------------------------------------------------------------------------------------------


def test_settings_and_code_may_declare_the_same_job(settings: Settings) -> None:
    configure(settings, {"greet": f"{HERE}.greet"})
    job(queue="mail", max_attempts=7)(greet)

    assert problems() == []
    assert definition("greet").options.max_attempts == 7


def test_a_module_that_is_imported_again_replaces_its_own_jobs(write_module: WriteModule) -> None:
    source = "from django_jobqueue import job\n@job(queue='mail', priority={})\ndef send(): ..."
    write_module("letters", source.format(1))
    module = importlib.import_module("letters")
    assert definition("send").options.priority == 1

    write_module("letters", source.format(20))
    importlib.reload(module)

    assert definition("send").options.priority == 20
    assert problems() == []


def test_a_name_that_settings_and_code_bind_to_two_functions_is_refused(settings: Settings) -> None:
    configure(settings, {"hello": f"{HERE}.fetch"})
    job(queue="mail", name="hello")(greet)

    [found] = problems()

    first, second = f"{HERE}.greet", f"{HERE}.fetch"
    assert found == f"Job 'hello' of queue 'mail' is bound to two functions: {first} and {second}. Rename one."
    with pytest.raises(ConfigError) as caught:
        queues.mail.add("hello", {"name": "Ada"})
    assert str(caught.value) == found


def test_a_name_that_code_binds_to_two_functions_is_found_by_the_checks() -> None:
    job(queue="mail", name="hello")(greet)
    job(queue="mail", name="hello")(fetch)

    first, second = f"{HERE}.greet", f"{HERE}.fetch"
    assert problems() == [f"Job 'hello' of queue 'mail' is bound to two functions: {first} and {second}. Rename one."]


@pytest.mark.django_db
def test_a_name_that_code_binds_to_two_functions_is_refused() -> None:
    job(queue="mail", name="hello")(greet)
    job(queue="mail", name="hello")(fetch)

    with pytest.raises(ConfigError, match="is bound to two functions"):
        queues.mail.add("hello", {"name": "Ada"})


def test_a_job_for_a_queue_that_there_is_not_is_found_by_the_checks() -> None:
    declared = job(queue="mial")(greet)

    assert problems() == [
        f"Job 'greet' ({HERE}.greet) is declared for 'mial', which is not a queue. Did you mean 'mail'?"
    ]
    with pytest.raises(UnknownQueue, match="Did you mean 'mail'"):
        declared.add({"name": "Ada"})


@pytest.mark.parametrize("name", ["send mail", "größe", "x" * 201, "a\nb", 5])
def test_a_job_whose_name_no_table_or_log_should_hold_is_found_by_the_checks(name: Any) -> None:
    job(queue="mail", name=name)(greet)

    [found] = problems()

    assert "is not a valid name" in found


# --- What cannot be a job --------------------------------------------------------------------------------------------


def positional(to: str, /) -> None: ...
def scattered(*to: str) -> None: ...
def torn(payload: dict[str, Any], to: str) -> None: ...


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (positional, "Parameter 'to' is positional-only, but arguments go by name. Remove the '/' after it."),
        (scattered, "'*to' would never get anything, for arguments go by name. Remove it."),
        (torn, "Parameter 'payload' takes the whole payload, which leaves nothing for 'to'. Rename it."),
    ],
)
def test_a_function_that_cannot_be_a_job_is_found_by_the_checks(function: Any, problem: str) -> None:
    declared = job(queue="mail")(function)

    name = function.__name__
    assert problems() == [f"Job '{name}' of queue 'mail' ({HERE}.{name}): {problem}"]
    with pytest.raises(ConfigError):
        declared.add({"to": "n1"})


@pytest.mark.django_db
def test_a_partial_function_can_be_a_job() -> None:
    job(queue="mail", name="hello")(functools.partial(greet, loud=True))

    assert problems() == []
    assert queues.mail.add("hello", {"name": "Ada"}).job == "hello"


# --- Where jobs are found --------------------------------------------------------------------------------------------


def test_the_jobs_module_of_every_installed_app_is_imported(settings: Settings, write_module: WriteModule) -> None:
    write_module("letters.__init__", "")
    write_module("letters.jobs", "from django_jobqueue import job\n@job(queue='mail')\ndef send(): ...")
    assert "send" not in queues.mail.jobs

    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "letters"]

    assert "send" in queues.mail.jobs


def test_a_mistake_in_a_jobs_module_is_not_hidden(settings: Settings, write_module: WriteModule) -> None:
    write_module("letters.__init__", "")
    write_module("letters.jobs", "import nonesuch")

    with pytest.raises(ModuleNotFoundError, match="nonesuch"):
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "letters"]


def test_changed_settings_change_the_jobs(settings: Settings) -> None:
    configure(settings, {"hello": f"{HERE}.greet"})
    assert definition("hello").function is greet

    configure(settings, {"hello": f"{HERE}.fetch"})
    assert definition("hello").function is fetch

    configure(settings, {})
    with pytest.raises(UnknownJob, match=r"'hello' is not a job of queue 'mail'\. There are none"):
        definition("hello")
