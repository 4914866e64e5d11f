"""Jobs that do nothing, worked by procrastinate: coroutines, many at once, on a pool that has a connection for each."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from importlib.metadata import version
from time import perf_counter

from procrastinate import App, PsycopgConnector

CONCURRENCY = 20
BATCH = 1000


async def drain(jobs: int) -> float:
    app = App(connector=PsycopgConnector(min_size=CONCURRENCY, max_size=CONCURRENCY))
    done = 0

    @app.task(name="noop")
    async def noop(number: int) -> None:
        nonlocal done
        done += 1

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for first in range(0, jobs, BATCH):
            await noop.batch_defer_async(*({"number": n} for n in range(first, min(jobs, first + BATCH))))
        await app.connector.execute_query_async("ANALYZE")
        begun = perf_counter()
        await app.run_worker_async(wait=False, concurrency=CONCURRENCY, install_signal_handlers=False)
        seconds = perf_counter() - begun
    if done != jobs:
        raise SystemExit(f"Of {jobs} jobs, {done} were done.")
    return seconds


if __name__ == "__main__":
    logging.disable()
    seconds = asyncio.run(drain(int(sys.argv[1])))
    print(json.dumps({"seconds": seconds, "version": version("procrastinate")}))
