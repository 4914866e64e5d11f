"""What the limits of its queue, its job and its key have against a run."""

from __future__ import annotations

from collections.abc import Iterator

from django_jobqueue.limiting.outlook import Outlook
from django_jobqueue.limits import Limit
from django_jobqueue.models import Run
from django_jobqueue.operations.obstacles import Obstacle, Rule, shown

MOST_RUNS = 20
"""Runs that an obstacle names."""


def limit_obstacles(run: Run, outlook: Outlook) -> Iterator[Obstacle]:
    """Each limit that holds a pending run; or the one that it is parked on, though it holds it no more.

    A pause is not among them.
    """
    holders = outlook.holders
    for limit in holders:
        if limit.kind == "rate":
            yield _no_token(run, limit, outlook)
        elif limit.kind != "pause":
            yield from _held(run, limit, outlook)
    if outlook.allowance.room is not None and outlook.allowance.room <= 0:
        yield _slots_taken(f"Queue {run.queue!r}", None, outlook.allowance.room, outlook)
    if run.blocked_on is not None and not outlook.is_seen and run.blocked_on not in map(str, holders):
        name = named(run.queue, Limit.parse(run.blocked_on))
        sentence = f"{name} holds it no more, but it is still parked there. The workers find it in a second or so."
        yield Obstacle(code=Rule.PARKED, sentence=sentence, limit=run.blocked_on)


def named(queue: str, limit: Limit) -> str:
    """A limit of *queue* in words, to begin a sentence with."""
    scope = f"job {limit.job!r}" if limit.job else f"queue {queue!r}"
    match limit.kind:
        case "rate":
            return f"The rate of {scope}" + (f" for key {limit.key!r}" if limit.key is not None else "")
        case "key":
            return f"Key {limit.key!r} of {scope}"
        case _:
            return f"Job {limit.job!r}"


def _no_token(run: Run, limit: Limit, outlook: Outlook) -> Obstacle:
    """Who waits in the line knows its time; who comes now, only that of the first."""
    bucket = outlook.bucket(limit)
    waits = run.blocked_on == str(limit)
    until, whose = (outlook.token_at(limit), "its own") if waits else (bucket.next_at, "the next")
    sentence = f"{named(run.queue, limit)} is {bucket.rate}: {whose} start is at {shown(until)}."
    return Obstacle(code=Rule.RATE, sentence=sentence, limit=str(limit), until=until)


def _held(run: Run, limit: Limit, outlook: Outlook) -> Iterator[Obstacle]:
    """What a job or a key has against it: that its slots are taken, or that it is not its turn."""
    name = named(run.queue, limit)
    free = outlook.allowance.free(limit) or 0
    taken = [_slots_taken(name, limit, free, outlook)] if free <= 0 else []
    yield from taken
    head = outlook.head(limit)
    if head is not None and head not in {run.pk, *(run_id for each in taken for run_id in each.runs)}:
        sentence = f"{name} is worked in the order of adding, and an earlier run has not ended."
        yield Obstacle(code=Rule.KEPT_ORDER, sentence=sentence, limit=str(limit), runs=(head,))


def _slots_taken(name: str, limit: Limit | None, free: int, outlook: Outlook) -> Obstacle:
    """There may be fewer than no *free* slots: the limit was higher when those that run were started."""
    most = outlook.most(limit) or 0
    running = "1 is" if most - free == 1 else f"{most - free} are"
    return Obstacle(
        code=Rule.SLOTS_TAKEN,
        sentence=f"{name} allows {most} at once, and {running} running.",
        limit=None if limit is None else str(limit),
        runs=tuple(outlook.running(limit).values_list("pk", flat=True)[:MOST_RUNS]),
    )
