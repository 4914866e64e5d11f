"""Payload schemas: what the payload of a job must be, how it is stored, and what the job gets of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, fields, is_dataclass
from typing import Any, ClassVar, Protocol, Self, TypeAlias

from django_jobqueue.payloads.annotations import kind_of, kind_of_type
from django_jobqueue.payloads.containers import Part, each, unknown_name
from django_jobqueue.payloads.json_text import encode_json
from django_jobqueue.payloads.kinds import Anything, Impossible, Kind, UnknownName, Unresolved, Unsupported, Walk
from django_jobqueue.payloads.parameters import Parameters
from django_jobqueue.payloads.refusals import Refusal


class DataclassInstance(Protocol):
    """A value of any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


class ModelInstance(Protocol):
    """A model of pydantic, which need not be installed."""

    def model_dump_json(self) -> str: ...


MAPPINGS = (dict, Mapping)
"""Any mapping; a dict is known in a fifth of the time that it takes to ask what is like one."""

Payload: TypeAlias = Mapping[str, Any] | DataclassInstance | ModelInstance
"""What a payload may be when it is added: the arguments by name, or a value of the type that the job declares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadSchema:
    """What the payload of a job must be. It is made once for each job, and evaluates the annotations."""

    parameters: Parameters

    declared: Any
    """The type that an option declares the payload to be, or None."""

    whole: Kind | None
    """The kind of the payload as a whole, where that is declared."""

    kinds: Mapping[str, Kind]
    """The kinds of the annotated arguments, where it is not."""

    rest: Kind | None
    """The kind of what goes into ``**kwargs``, if that is annotated."""

    flaws: tuple[str, ...]
    """Why the function cannot be a job with such payloads, in sentences."""

    @classmethod
    def of(cls, function: Callable[..., Any], declared: Any = None) -> Self:
        """The schema of a job that *function* works: the type *declared*, or else what its annotations say."""
        parameters = Parameters.of(function)
        kinds, flaws = _declared(declared) if declared is not None else _annotated(parameters, function)
        whole = kinds.pop("payload", None)
        if whole is not None and dict not in whole.forms:
            flaws.append(
                f"A payload is a mapping, and cannot be {whole.wanted}. Annotate what it maps, or a dataclass."
            )
        rest = next((kinds.pop(name) for name in list(kinds) if name.startswith("**")), None)
        return cls(
            parameters=parameters,
            declared=declared,
            whole=whole,
            kinds=kinds,
            rest=rest,
            flaws=(*parameters.flaws, *flaws),
        )

    def encode(self, payload: Payload | None, *, max_bytes: int) -> str:
        """*payload*, a mapping or a value of the declared type, as JSON text; None is the empty one.

        Raises PayloadError, naming the place, for what does not fit, or could not be stored.
        """
        try:
            form = self._form({} if payload is None else payload, Walk(max_bytes))
        except Refusal as refusal:
            raise refusal.told("payload") from None
        return encode_json(form, root="payload", max_bytes=max_bytes)

    def arguments(self, payload: Any, run: object) -> dict[str, Any]:
        """The arguments of the call that works the JSON *payload*, where *run* is the context of the run.

        Raises PayloadError, naming the place, for what does not fit.
        """
        try:
            arguments = self._arguments(payload)
        except Refusal as refusal:
            raise refusal.told("payload") from None
        if self.parameters.takes_run:
            arguments["run"] = run
        return arguments

    def unknown_name(self, path: Sequence[str]) -> UnknownName | None:
        """The first name of *path* that no payload has there, as far as that is known."""
        if self.whole is not None:
            return self.whole.unknown_name(path)
        parameters = self.parameters
        if path[0] not in parameters.known and (parameters.takes_any or parameters.takes_payload):
            return None if self.rest is None else self.rest.unknown_name(path[1:])
        return unknown_name(path, {**dict.fromkeys(parameters.known, Anything()), **self.kinds})

    def _form(self, payload: Any, walk: Walk) -> Any:
        if self.whole is not None:
            form = self.whole.to_json(payload, walk)
            if not isinstance(form, dict):
                raise _no_mapping(payload)
            if not self.parameters.takes_payload:
                self._arguments(form)
            return form
        form = self._checked(payload)
        if parts := self._parts(payload):
            form |= each(parts, lambda kind, value: kind.to_json(value, walk))
        return form

    def _arguments(self, payload: Any) -> dict[str, Any]:
        if self.whole is None:
            arguments = self._checked(payload)
            if parts := self._parts(payload):
                arguments |= each(parts, lambda kind, value: kind.from_json(value))
            return {"payload": arguments} if self.parameters.takes_payload else arguments
        value = self.whole.from_json(payload)
        if self.parameters.takes_payload:
            return {"payload": value}
        arguments = _spread(value)
        self.parameters.check(arguments)
        return arguments

    def _checked(self, payload: Any) -> dict[Any, Any]:
        if not isinstance(payload, MAPPINGS):
            raise _no_mapping(payload)
        self.parameters.check(payload)
        return dict(payload)

    def _parts(self, payload: Mapping[Any, Any]) -> list[Part]:
        """The arguments for which something must be done."""
        parts = [
            (name, kind, payload[name])
            for name, kind in self.kinds.items()
            if name in payload and type(payload[name]) is not kind.plain
        ]
        if self.rest is not None:
            known = self.parameters.known
            parts += [(name, self.rest, value) for name, value in payload.items() if name not in known]
        return parts


def _no_mapping(payload: object) -> Refusal:
    return Refusal(f"must be a mapping of argument names to values, got {type(payload).__name__}.")


def _declared(type_: Any) -> tuple[dict[str, Kind], list[str]]:
    """The kind of the whole payload, under the name of the parameter that would take it, and what is wrong with it."""
    try:
        return {"payload": kind_of_type(type_)}, []
    except (Unresolved, Unsupported) as error:
        return {}, [f"Its payload_schema cannot be used: {error}"]


def _annotated(parameters: Parameters, function: Callable[..., Any]) -> tuple[dict[str, Kind], list[str]]:
    """The kinds of the annotated parameters, and what is wrong with the others."""
    kinds: dict[str, Kind] = {}
    flaws = []
    for name, annotation in parameters.annotations.items():
        try:
            kind = kind_of(annotation, function)
            if not isinstance(kind, Anything):
                kinds[name] = kind
        except Unresolved as error:
            flaws.append(f"The annotation of parameter {name!r} cannot be resolved: {error}. Import what it names.")
        except Unsupported as error:
            if name in parameters.optional:
                kinds[name] = Impossible(str(error))
            else:
                flaws.append(f"Parameter {name!r}: {error} Annotate what JSON holds, or give it a default.")
    return kinds, flaws


def _spread(value: Any) -> dict[str, Any]:
    """The arguments that a value of a declared type stands for, by name."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    return dict(value)  # a mapping, or a model of pydantic, which iterates over its fields
