"""Job definitions: what is declared of a job, and what comes of all declarations together."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django_jobqueue.conf import JobOptions, get_config
from django_jobqueue.errors import PayloadError
from django_jobqueue.jobs.error_rules import ErrorRules
from django_jobqueue.jobs.places import place_of
from django_jobqueue.jobs.secrets import Secrets
from django_jobqueue.jobs.upgrades import Upgrades, upgraded
from django_jobqueue.payloads import Parameters, Payload, PayloadSchema

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A job as ``@job`` declares it: the function, and the options that are given there."""

    queue: str
    name: str
    function: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    """What is wrong with the options; told by the system checks."""

    @property
    def place(self) -> str:
        return place_of(self.function)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDefinition:
    """A job of a queue, ready to be added and worked: every declaration and default is resolved."""

    queue: str
    name: str
    function: Callable[..., Any]
    options: JobOptions
    schema: PayloadSchema
    error_rules: ErrorRules
    on_before_add: Callable[..., object] | None = None
    okay_to_run: Callable[..., object] | None = None
    """The functions of the preflight, imported."""
    concurrency_key: Callable[[Mapping[str, Any]], object] | None = None
    rate_key: Callable[[Mapping[str, Any]], object] | None = None
    """What finds the keys in a payload."""
    upgrades: Upgrades = ()
    """The functions that upgrade the payload, imported: first the one that takes a payload of version 1."""
    unique_key: Callable[[Mapping[str, Any]], Any] | None = None
    """Answers what of a payload makes its run unique, as a JSON value; None: all of it."""
    is_async: bool = field(init=False)
    """Whether the function is a coroutine function."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_async", inspect.iscoroutinefunction(self.function))

    @property
    def parameters(self) -> Parameters:
        """What the function takes, by name."""
        return self.schema.parameters

    @property
    def payload_schema_id(self) -> str:
        """What others call the schema of the payload."""
        return self.options.payload_schema_id or f"{self.queue}.{self.name}@{self.options.version}"

    @property
    def needs_context(self) -> bool:
        """Whether somebody gets the context of the run."""
        return self.parameters.takes_run or self.okay_to_run is not None

    @property
    def asks_project(self) -> bool:
        """Whether functions of the project take part in adding a run."""
        asked = (self.on_before_add, self.concurrency_key, self.rate_key, self.unique_key)
        return any(function is not None for function in asked)

    def payload_text(self, payload: Payload | None) -> str:
        """*payload* as JSON text, to be stored. Raises PayloadError for what the job could not work."""
        try:
            return self.schema.encode(payload, max_bytes=get_config().payload_max_bytes)
        except PayloadError as error:
            raise self._scrubbed(error, payload) from None

    def arguments(self, payload: Any, run: object) -> dict[str, Any]:
        """The arguments of the call that works the JSON *payload*; see ``PayloadSchema.arguments``."""
        try:
            return self.schema.arguments(payload, run)
        except PayloadError as error:
            raise self._scrubbed(error, payload) from None

    def current_payload(self, payload: Any, version: int) -> Any:
        """The JSON *payload* that was stored by a *version* of the job, as it would be stored today.

        Raises PayloadError where an upgrade fails, or where only a later release can read it.
        """
        if version == self.options.version:
            return payload
        try:
            current = upgraded(payload, version, self.upgrades)
        except PayloadError as error:
            raise self._scrubbed(error, payload, version) from error.__cause__
        return json.loads(self.payload_text(current))

    def check_stored(self, payload: Any, version: int) -> None:
        """Raise PayloadError where a run with this JSON *payload*, stored by a *version* of the job, could not start."""
        self.arguments(self.current_payload(payload, version), None)

    def secrets(self, version: int | None = None) -> Secrets:
        """What is secret in a payload of that *version* of the job; None: of the current one.

        Where some of it is, nobody can tell which fields of another version are.
        """
        fields = self.options.secret
        return Secrets(fields, everything=bool(fields) and version not in (None, self.options.version))

    def scrubber(self, payload: object, version: int | None = None) -> Callable[[str], str]:
        """What takes the secrets of *payload* out of a text."""
        return self._scrubber(self.secrets(version), payload)

    def _scrubbed(self, error: PayloadError, payload: object, version: int | None = None) -> PayloadError:
        """The same *error*, which tells no secret of *payload*: nor of what is given under another name than is stored."""
        secrets = replace(self.secrets(version), unknown_name=self.schema.unknown_name)
        error.args = (self._scrubber(secrets, payload)(str(error)),)
        return error

    def _scrubber(self, secrets: Secrets, payload: object) -> Callable[[str], str]:
        try:
            return secrets.scrubber(payload)
        except Exception as error:  # what is secret is for a filter of the project to say, and that may fail in any way
            # Without its traceback, which would go on to what is to be told without secrets.
            logger.error("What is secret for %s.%s cannot be told: %s.", self.queue, self.name, type(error).__name__)
            return lambda _: "(not told: it may contain a secret)"
