"""Jobs that do nothing, worked by huey on SQLite: in several threads that look for work without resting."""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from threading import Event
from time import perf_counter

from huey import SqliteHuey
from huey.consumer import Consumer

WORKERS = 4

huey = SqliteHuey(filename=os.environ["RIVAL_FILE"], results=False)
finished = Event()
done: list[int] = []
expected = int(sys.argv[1])


@huey.task()
def noop(number: int) -> None:
    done.append(number)
    if len(done) == expected:
        finished.set()


if __name__ == "__main__":
    for number in range(expected):
        noop(number)
    consumer = Consumer(huey, workers=WORKERS, worker_type="thread", initial_delay=0.001, backoff=1.0, max_delay=0.001)
    begun = perf_counter()
    consumer.start()
    finished.wait()
    seconds = perf_counter() - begun
    print(json.dumps({"seconds": seconds, "version": version("huey")}), flush=True)
    consumer.stop(graceful=True)
