"""The module of the stubs: for type checkers one class for each queue, at run time our own ``queues``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any, get_origin

from django_jobqueue.conf import get_config
from django_jobqueue.jobs import JobDefinition, registry
from django_jobqueue.management.stubs.types import TypeWriter
from django_jobqueue.payloads.annotations import type_of

MARK = "Written by ``manage.py jobstubs``."

HEAD = f'''\
"""The queues of this project, as type checkers and editors know them. At run time they are ``django_jobqueue.queues``.

{MARK} Do not edit: change the jobs, and call it again.
"""

# fmt: off
# isort: skip_file
# ruff: noqa
# mypy: disable-error-code="import-untyped,no-overload-impl,override,type-arg"
# pyright: reportIncompatibleMethodOverride=false, reportMissingTypeArgument=false
# pyright: reportNoOverloadImplementation=false

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, Literal, Never, NotRequired, TypedDict, Unpack, overload

    from django_jobqueue.models import Run
    from django_jobqueue.operations.new_runs import AddOptions
    from django_jobqueue.queue import Queue
'''

TAIL = """\

    queues: Queues

else:
    from django_jobqueue import queues

__all__ = ["queues"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStub:
    """What is written of one job; or of all jobs of an external queue, which only who works it knows."""

    name: str
    """The type of its name."""
    payload: str
    """The type of its payload."""
    payload_lines: list[str]
    """The definition of that type, if it is ours."""
    optional: bool
    """Whether it may be added without a payload."""
    vetoes: bool
    """Whether its ``on_before_add`` may let nothing be added."""
    item: str
    """The name of the type of its items for ``bulk_add``."""


def source_of_module() -> str:
    """The source text, the same for the same jobs. Raises ConfigError for a job that cannot work."""
    writer, names = TypeWriter(), Names()
    classes = {queue: names.of(queue, "Queue") for queue in sorted(get_config().queues)}
    lines = [line for queue, name in classes.items() for line in _queue(queue, name, writer, names)]
    imports = [f"import {module}" for module in sorted(writer.modules)]
    lines = [*imports, *([""] if imports else []), *lines, *_queues(classes)]
    body = "".join(f"    {line}\n" if line else "\n" for line in lines)
    return f"{HEAD}\n{body}{TAIL}"


class Names:
    """Names of classes, none given twice."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def of(self, *words: str) -> str:
        """SendReceiptPayload of send_receipt and Payload."""
        parts = [part for word in words for part in re.split(r"[^0-9A-Za-z]+", word) if part]
        name = wished = "".join(f"{part[0].upper()}{part[1:]}" for part in parts)
        number = 1
        while name in self._given:
            number += 1
            name = f"{wished}{number}"
        self._given.add(name)
        return name


def _queue(queue: str, name: str, writer: TypeWriter, names: Names) -> Iterator[str]:
    """The types of the payloads and items of its jobs, and then its class."""
    if get_config().queues[queue].external:
        jobs = [_any_job(queue, names)]
    else:
        jobs = [_job(registry.get(queue, job), writer, names) for job in registry.names(queue)]
    for job in jobs:
        yield from job.payload_lines
        yield f"class {job.item}(AddOptions):"
        yield f"    job: {job.name}"
        yield f"    payload: {f'NotRequired[{job.payload} | None]' if job.optional else job.payload}"
        yield ""
    yield f"class {name}(Queue):"
    yield from _adders("def add", jobs)
    yield from _adders("async def aadd", jobs)
    items = " | ".join(job.item for job in jobs) or "Never"
    ids = "list[int | None]" if any(job.vetoes for job in jobs) else "list[int]"
    yield f"    def bulk_add(self, items: Iterable[{items}]) -> {ids}: ..."
    yield f"    async def abulk_add(self, items: Iterable[{items}]) -> {ids}: ..."
    yield ""


def _job(definition: JobDefinition, writer: TypeWriter, names: Names) -> JobStub:
    parameters, whole = definition.parameters, _type_of_whole(definition)
    payload, lines = "Mapping[str, Any]", []
    if whole is not None:
        payload = _whole(whole, writer)
    elif not (parameters.takes_any or parameters.takes_payload):
        payload = names.of(definition.queue, definition.name, "Payload")
        lines = list(_typed_dict(payload, definition, writer))
    return JobStub(
        name=_literal(definition.name),
        payload=payload,
        payload_lines=lines,
        optional=not parameters.required and whole is None,
        vetoes=definition.on_before_add is not None,
        item=names.of(definition.queue, definition.name, "Item"),
    )


def _any_job(queue: str, names: Names) -> JobStub:
    return JobStub(
        name="str",
        payload="Mapping[str, Any]",
        payload_lines=[],
        optional=True,
        vetoes=False,
        item=names.of(queue, "Item"),
    )


def _type_of_whole(definition: JobDefinition) -> Any:
    """The type of the payload as a whole, where that is declared; else None."""
    if definition.schema.declared is not None:
        return definition.schema.declared
    annotation = definition.parameters.annotations.get("payload")
    return None if annotation is None else type_of(annotation, definition.function)


def _whole(type_: Any, writer: TypeWriter) -> str:
    """The type of a payload that one parameter takes as a whole: an instance of it, or a mapping that makes one."""
    origin = get_origin(type_) or type_
    is_mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    return writer.source(type_) if is_mapping else f"{writer.source(type_)} | Mapping[str, Any]"


def _typed_dict(name: str, definition: JobDefinition, writer: TypeWriter) -> Iterator[str]:
    """Written as a call, where no key hides the name of a type."""
    parameters = definition.parameters
    types = {key: type_of(written, definition.function) for key, written in parameters.annotations.items()}
    yield f'{name} = TypedDict("{name}", {{'
    for key in parameters.required:
        yield f'    "{key}": {writer.source(types.get(key, Any))},'
    for key in parameters.optional:
        yield f'    "{key}": NotRequired[{writer.source(types.get(key, Any))}],'
    yield "})"
    yield ""


def _adders(define: str, jobs: list[JobStub]) -> Iterator[str]:
    """The method that adds, once for each job."""
    if not jobs:
        yield f"    {define}(self, job: Never, payload: None = None, **options: Unpack[AddOptions]) -> Run: ..."
    for job in jobs:
        if len(jobs) > 1:
            yield "    @overload"
        payload = f"{job.payload} | None = None" if job.optional else job.payload
        arguments = f"self, job: {job.name}, payload: {payload}, **options: Unpack[AddOptions]"
        yield f"    {define}({arguments}) -> {'Run | None' if job.vetoes else 'Run'}: ..."


def _queues(classes: Mapping[str, str]) -> Iterator[str]:
    """The class of ``queues``: an attribute for each queue whose name can be one, and all by their names."""
    yield "class Queues:"
    for queue, name in classes.items():
        if queue.isidentifier() and not iskeyword(queue):
            yield f"    {queue}: {name}"
    for queue, name in classes.items():
        if len(classes) > 1:
            yield "    @overload"
        yield f"    def __getitem__(self, name: {_literal(queue)}) -> {name}: ..."
    yield "    def __contains__(self, name: object) -> bool: ..."
    yield "    def __iter__(self) -> Iterator[Queue]: ..."
    yield "    def __len__(self) -> int: ..."


def _literal(name: str) -> str:
    return f"Literal[{json.dumps(name)}]"
