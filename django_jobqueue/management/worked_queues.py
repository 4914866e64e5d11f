"""Which queues a ``runjobs`` works, and with how many slots: ``mail:4 default``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.core.management.base import CommandError

from django_jobqueue.conf import get_config
from django_jobqueue.errors import nearest, shown

MOST_SLOTS = 1000


def worked_queues(arguments: Sequence[str]) -> dict[str, int | None]:
    """The queues to work, each with the slots of a process that it may hold at most; None: all of them.

    Without *arguments* those with ``run_on_startup``. Raises CommandError for what cannot be worked.
    """
    if not arguments:
        return _on_startup()
    queues: dict[str, int | None] = {}
    given: dict[str, str] = {}
    for argument in arguments:
        name, slots = _parsed(argument)
        if name in given and (argument != name or given[name] != name):
            raise CommandError(f"Queue {name!r} is given twice, as {given[name]} and as {argument}: give it once.")
        queues[name], given[name] = slots, argument
    return queues


def slots_of_process(queues: Mapping[str, int | None], concurrency: int | None) -> int:
    """How many runs a process works at once: so many as it is told, or as its queues may hold together."""
    together = [slots for slots in queues.values() if slots is not None]
    if concurrency is None and len(together) == len(queues):
        return min(sum(together), MOST_SLOTS)
    most = concurrency or get_config().worker.concurrency
    for queue, slots in queues.items():
        if slots is not None and slots > most:
            raise CommandError(f"{queue}:{slots} is more than the slots of a process: --concurrency is {most}.")
    return most


def label(queue: str, slots: int | None) -> str:
    """A queue as ``runjobs`` was given it."""
    return queue if slots is None else f"{queue}:{slots}"


def _on_startup() -> dict[str, int | None]:
    queues = get_config().queues.values()
    if chosen := [queue.name for queue in queues if queue.run_on_startup and not queue.external]:
        return dict.fromkeys(chosen)
    raise CommandError("No queue has run_on_startup: name the queues to work.")


def _parsed(argument: str) -> tuple[str, int | None]:
    """The queue, and its slots; a colon may be part of a name."""
    queues = get_config().queues
    name, colon, number = (argument, "", "") if argument in queues else argument.rpartition(":")
    if not colon:
        name = argument
    if name not in queues:
        raise CommandError(f"{name!r} is not a queue. {nearest(name, queues)}")
    if queues[name].external:
        raise CommandError(f"Queue {name!r} is external: another deployment works it.")
    return name, _slots(argument, number) if colon else None


def _slots(argument: str, number: str) -> int:
    if number.isascii() and number.isdigit() and 1 <= int(number) <= MOST_SLOTS:
        return int(number)
    raise CommandError(
        f"{argument}: the number after the colon says how many slots of a process the queue may hold, "
        f"from 1 to {MOST_SLOTS}, not {shown(number)}."
    )
