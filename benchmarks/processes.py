"""Several worker processes, measured from when all are ready. A new process imports this before Django is set up."""

from __future__ import annotations

import multiprocessing
from threading import BrokenBarrierError
from time import perf_counter
from typing import Any

import django

PATIENCE_SECONDS = 180.0


def drain_with_processes(queue: str, processes: int) -> float:
    """Work all due runs of *queue* in so many processes; the seconds that it took."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(processes + 1)
    workers = [context.Process(target=_work, args=(queue, ready), daemon=True) for _ in range(processes)]
    for worker in workers:
        worker.start()
    try:
        ready.wait(PATIENCE_SECONDS)
    except BrokenBarrierError:
        raise SystemExit("The worker processes do not start.") from None
    begun = perf_counter()
    for worker in workers:
        worker.join()
    return perf_counter() - begun


def _work(queue: str, ready: Any) -> None:
    django.setup()

    from benchmarks.drain import drain_with_worker
    from django_jobqueue.models import Run

    Run.objects.exists()  # connects
    ready.wait(PATIENCE_SECONDS)
    drain_with_worker(queue)
