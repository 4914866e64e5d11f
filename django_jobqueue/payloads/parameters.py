"""Parameters: what the function of a job takes."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from django_jobqueue.payloads.refusals import Refusal, wrong_names

if sys.version_info >= (3, 14):
    import annotationlib

BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a job function takes: its parameters by name."""

    function_name: str
    """How messages call the function."""

    required: tuple[str, ...]
    """Parameters that the payload must give, in their order."""

    optional: tuple[str, ...]
    """Parameters that the payload may give, in their order."""

    known: frozenset[str]
    """Both together."""

    takes_any: bool
    """It has ``**kwargs``: the payload may have any key."""

    takes_payload: bool
    """Its parameter ``payload`` takes the whole payload."""

    takes_run: bool
    """Its parameter ``run`` takes the context of the run."""

    annotations: Mapping[str, Any]
    """The annotations as they are written, text or not: they may name what cannot be imported yet. The worker fills
    ``run``, so it is not among them; that of ``**kwargs`` has two stars before its name."""

    flaws: tuple[str, ...]
    """Why it cannot be a job, in sentences."""

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Self:
        """Read the signature of *function*. Never raises: that it cannot be read is one of the flaws."""
        try:
            parameters = tuple(signature(function).parameters.values())
            flaws = tuple(_flaws(parameters))
        except (TypeError, ValueError):
            parameters = ()
            flaws = ("Python cannot tell its parameters. Wrap it in a function that is written in Python.",)
        named = {p.name: p for p in parameters if p.kind in BY_NAME}
        arguments = [p for name, p in named.items() if name not in ("payload", "run")]
        return cls(
            function_name=_name_of(function),
            required=tuple(p.name for p in arguments if p.default is p.empty),
            optional=tuple(p.name for p in arguments if p.default is not p.empty),
            known=frozenset(p.name for p in arguments),
            takes_any=any(p.kind is p.VAR_KEYWORD for p in parameters),
            takes_payload="payload" in named,
            takes_run="run" in named,
            annotations=dict(_annotations(parameters)),
            flaws=flaws,
        )

    def check(self, names: Mapping[Any, Any]) -> None:
        """Raise Refusal where the function cannot be called with arguments of these *names*; it tells all of them."""
        if self.takes_payload or (names.keys() <= self.known and self._has_required(names)):
            return
        known = self.known | {"run"} if self.takes_run else self.known
        wrong = list(wrong_names(names, self.required, names if self.takes_any else known, "parameter"))
        if self.takes_run and "run" in names:
            wrong.append("'run' is filled by the worker, and cannot be in the payload.")
        if wrong:
            raise Refusal(f"does not fit {self.function_name}(). {' '.join(wrong)}")

    def _has_required(self, names: Mapping[Any, Any]) -> bool:
        for name in self.required:  # noqa: SIM110  # all() takes twice as long, and this is asked of every run
            if name not in names:
                return False
        return True


def signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of *function*, with its annotations as they are written."""
    if sys.version_info >= (3, 14):
        # From this version on, reading a signature evaluates the annotations unless told otherwise.
        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(function)


def _annotations(parameters: Sequence[inspect.Parameter]) -> Iterator[tuple[str, Any]]:
    for parameter in parameters:
        if parameter.annotation is parameter.empty:
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            yield f"**{parameter.name}", parameter.annotation
        elif parameter.kind in BY_NAME and parameter.name != "run":
            yield parameter.name, parameter.annotation


def _flaws(parameters: Sequence[inspect.Parameter]) -> Iterator[str]:
    for parameter in parameters:
        if parameter.kind is parameter.POSITIONAL_ONLY:
            yield f"Parameter {parameter.name!r} is positional-only, but arguments go by name. Remove the '/' after it."
        elif parameter.kind is parameter.VAR_POSITIONAL:
            yield f"'*{parameter.name}' would never get anything, for arguments go by name. Remove it."
    names = {parameter.name for parameter in parameters if parameter.kind in BY_NAME}
    others = [f"{p.name!r}" for p in parameters if p.name not in ("payload", "run") or p.kind not in BY_NAME]
    if "payload" in names and others:
        yield f"Parameter 'payload' takes the whole payload, which leaves nothing for {', '.join(others)}. Rename it."


def _name_of(function: Callable[..., Any]) -> str:
    if isinstance(function, functools.partial):
        return _name_of(function.func)
    return str(getattr(function, "__name__", type(function).__name__))
