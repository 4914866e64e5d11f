"""Jobs that do nothing, worked by pgqueuer: coroutines, in large batches, with the driver that its pages call the fastest."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from time import perf_counter

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.domain.types import QueueExecutionMode
from pgqueuer.queries import Queries

BATCH = 1000


async def drain(jobs: int) -> float:
    connection = await asyncpg.connect()
    driver = AsyncpgDriver(connection)
    queries = Queries(driver)
    await queries.install()
    for first in range(0, jobs, BATCH):
        numbers = range(first, min(jobs, first + BATCH))
        await queries.enqueue(["noop"] * len(numbers), [str(n).encode() for n in numbers], [0] * len(numbers))
    await connection.execute("VACUUM ANALYZE")
    queue, done = PgQueuer(driver), 0

    @queue.entrypoint("noop")
    async def noop(job: object) -> None:
        nonlocal done
        done += 1

    begun = perf_counter()
    await queue.qm.run(batch_size=BATCH, mode=QueueExecutionMode.drain)
    seconds = perf_counter() - begun
    if done != jobs:
        raise SystemExit(f"Of {jobs} jobs, {done} were done.")
    return seconds


if __name__ == "__main__":
    seconds = uvloop.run(drain(int(sys.argv[1])))
    print(json.dumps({"seconds": seconds, "version": version("pgqueuer")}))
