"""Upgrades: the payloads of older versions of a job, made into current ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from django_jobqueue.conf import JobOptions
from django_jobqueue.errors import ConfigError, PayloadError
from django_jobqueue.jobs.functions import plain_function
from django_jobqueue.jobs.places import place_of

Upgrades: TypeAlias = Sequence[Callable[[dict[str, Any]], Any]]


def upgrades_of(where: str, options: JobOptions) -> Upgrades:
    """The functions that the options give or name. *Where* begins the problems of the ConfigError."""
    older = range(1, options.version)
    problems = [
        f"{where}: upgrades[{version}] is never used, for its version is {options.version}. Raise version, or remove it."
        for version in options.upgrades
        if version not in older
    ]
    if missing := [version for version in older if version not in options.upgrades]:
        problems.append(
            f"{where}: its version is {options.version}, but nothing upgrades payloads of version {missing[0]}. "
            f"Give upgrades={{{missing[0]}: function}}."
        )
    if problems:
        raise ConfigError(problems)
    return [plain_function(f"{where}: upgrades[{version}]", options.upgrades[version]) for version in older]


def upgraded(payload: Any, version: int, upgrades: Upgrades) -> Any:
    """The JSON *payload* of a *version*, after all *upgrades* from there on. Raises PayloadError."""
    if version > len(upgrades) + 1:
        raise PayloadError(f"payload: is of version {version}, and this release knows {len(upgrades) + 1}.")
    for number, upgrade in enumerate(upgrades[version - 1 :], version):
        try:
            payload = upgrade(payload)
        except Exception as error:
            general = f"payload: {place_of(upgrade)}() cannot upgrade it from version {number}. {type(error).__name__}"
            raise PayloadError(f"{general}: {error}", general) from error
        if not isinstance(payload, Mapping):
            raise PayloadError(
                f"payload: {place_of(upgrade)}() must return that of version {number + 1}, got {type(payload).__name__}."
            )
    return payload
