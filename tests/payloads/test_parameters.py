"""What a function takes is read from its signature; a payload that does not fit is refused with every wrong name."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import pytest

from django_jobqueue.errors import PayloadError
from django_jobqueue.payloads import PayloadSchema

pytestmark = pytest.mark.sqlite  # no database is asked


def mail(to: str, subject: str = "", *, copies: int = 1) -> None: ...


async def amail(to: str, subject: str = "", *, copies: int = 1) -> None: ...


def mail_with_run(to: str, *, run: object) -> None: ...


def mail_whole(payload: dict[str, Any]) -> None: ...


def mail_unannotated(payload): ...  # type: ignore[no-untyped-def]


def mail_whole_with_run(payload: dict[str, Any], run: object) -> None: ...


def mail_anything(to: str, **rest: object) -> None: ...


def decorated(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)

    return wrapper


class Mailer:
    def __call__(self, to: str, subject: str = "", *, copies: int = 1) -> None: ...

    def send(self, to: str, subject: str = "", *, copies: int = 1) -> None: ...

    @staticmethod
    def send_nothing() -> None: ...

    @classmethod
    def send_all(cls, to: str, subject: str = "", *, copies: int = 1) -> None: ...


def fit(function: Callable[..., Any], payload: Any) -> str:
    """*payload*, as it would be stored for a job of *function*."""
    return PayloadSchema.of(function).encode(payload, max_bytes=1000)


def unfit(function: Callable[..., Any], payload: dict[Any, Any]) -> str:
    with pytest.raises(PayloadError) as caught:
        fit(function, payload)
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
    schema = PayloadSchema.of(function)
    parameters = schema.parameters

    assert schema.flaws == ()
    assert parameters.required == ("to",)
    assert set(parameters.optional) == {"subject", "copies"}
    fit(function, {"to": "a", "copies": 2})


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
    assert PayloadSchema.of(functools.partial(mail, "a")).parameters.required == ()
    assert "'to' is not a parameter" in unfit(functools.partial(mail, "a"), {"to": "b"})


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
    fit(mail_anything, {"to": "a", "whatever": 1})

    assert unfit(mail_anything, {"whatever": 1}) == "payload: does not fit mail_anything(). 'to' is missing."


def test_a_function_that_takes_the_whole_payload_takes_any() -> None:
    fit(mail_whole, {"whatever": 1, "run": 2})


def test_the_run_is_not_asked_of_the_payload() -> None:
    fit(mail_with_run, {"to": "a"})


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

    arguments = PayloadSchema.of(function).arguments(payload, "the run")

    assert arguments == bound
    assert payload == {"to": "a"}
    function(**arguments)


def test_positional_only_and_starred_parameters_are_problems() -> None:
    def flawed(a: int, /, *rest: int) -> None: ...

    assert PayloadSchema.of(flawed).flaws == (
        "Parameter 'a' is positional-only, but arguments go by name. Remove the '/' after it.",
        "'*rest' would never get anything, for arguments go by name. Remove it.",
    )


def test_beside_the_whole_payload_there_may_only_be_the_run() -> None:
    def colliding(payload: object, to: str, run: object, **rest: object) -> None: ...

    def colliding_with_the_rest(payload: object, **run: object) -> None: ...

    assert PayloadSchema.of(mail_whole_with_run).flaws == ()
    assert PayloadSchema.of(colliding).flaws == (
        "Parameter 'payload' takes the whole payload, which leaves nothing for 'to', 'rest'. Rename it.",
    )
    assert PayloadSchema.of(colliding_with_the_rest).flaws == (
        "Parameter 'payload' takes the whole payload, which leaves nothing for 'run'. Rename it.",
    )


@pytest.mark.parametrize("unreadable", [dict, "not callable"], ids=str)
def test_what_has_no_signature_is_a_problem_and_not_an_exception(unreadable: Any) -> None:
    assert PayloadSchema.of(unreadable).flaws == (
        "Python cannot tell its parameters. Wrap it in a function that is written in Python.",
    )


def test_no_payload_is_an_empty_one() -> None:
    assert fit(Mailer.send_nothing, None) == "{}"


def test_a_mapping_that_is_not_a_dict_is_a_payload() -> None:
    assert fit(mail, types.MappingProxyType({"to": "a"})) == '{"to":"a"}'


@pytest.mark.parametrize("payload", [[1], "text", 7, {1}, object()], ids=lambda payload: type(payload).__name__)
@pytest.mark.parametrize("function", [mail, mail_unannotated])
def test_a_payload_that_is_not_a_mapping_is_refused(function: Callable[..., Any], payload: Any) -> None:
    assert unfit(function, payload) == (
        f"payload: must be a mapping of argument names to values, got {type(payload).__name__}."
    )
    with pytest.raises(PayloadError, match="must be a mapping"):
        PayloadSchema.of(function).arguments(payload, None)
