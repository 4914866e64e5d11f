"""Which errors of a job are worth another try."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django_jobqueue.conf import ErrorClass, JobOptions
from django_jobqueue.errors import ConfigError, shown
from django_jobqueue.jobs.functions import imported_function
from django_jobqueue.jobs.outcomes import JobSignal
from django_jobqueue.jobs.places import place_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRules:
    """The classes of ``retry_on`` and ``fail_on``. What neither mentions is tried again, unless only ``retry_on`` may be."""

    retry_on: tuple[type[BaseException], ...] | None = None
    fail_on: tuple[type[BaseException], ...] = ()

    def allow_retry(self, error: BaseException) -> bool:
        if isinstance(error, self.fail_on):
            return False
        return self.retry_on is None or isinstance(error, self.retry_on)


def error_rules_of(where: str, options: JobOptions) -> ErrorRules:
    """The rules that the options give. *Where* begins the problems of the ConfigError."""
    retry_on = None if options.retry_on is None else _classes(f"{where}: retry_on", options.retry_on)
    rules = ErrorRules(retry_on=retry_on, fail_on=_classes(f"{where}: fail_on", options.fail_on))
    if problems := list(_contradictions(where, rules)):
        raise ConfigError(problems)
    return rules


def _classes(where: str, given: Iterable[ErrorClass]) -> tuple[type[BaseException], ...]:
    return tuple(_class(f"{where}[{index}]", item) for index, item in enumerate(given))


def _class(where: str, given: ErrorClass) -> type[BaseException]:
    found: object = imported_function(where, given) if isinstance(given, str) else given
    if not isinstance(found, type) or not issubclass(found, BaseException):
        raise ConfigError([f"{where}: {shown(given)} is not a class of exceptions."])
    if issubclass(found, JobSignal):
        raise ConfigError([f"{where}: {found.__name__} says itself what becomes of the run. Remove it."])
    return found


def _contradictions(where: str, rules: ErrorRules) -> Iterator[str]:
    for tried in rules.retry_on or ():
        for failed in rules.fail_on:
            if issubclass(tried, failed):
                ended = "is in fail_on too" if tried is failed else f"is a {place_of(failed)}, which is in fail_on"
                yield f"{where}: {place_of(tried)} of retry_on {ended}, so it would never be tried again. Remove one."
