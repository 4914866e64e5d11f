"""The one door for writes: whatever a person or a program can ask for.

Each operation is a function with typed arguments and a typed answer, and has a twin for async code. ``OPERATIONS`` has
all of them, with what a face must know: key, version, who may call it, and which events may come of it.
"""

from django_jobqueue.engines.base import NewRun
from django_jobqueue.operations.cancelling import Cancellation, cancel
from django_jobqueue.operations.explaining import explain
from django_jobqueue.operations.operation import OPERATIONS, Auth, Operation
from django_jobqueue.operations.queues import pause_queue, resume_queue
from django_jobqueue.operations.replaying import replay
from django_jobqueue.operations.rescheduling import reschedule
from django_jobqueue.operations.runs import enqueue, enqueue_many, get

acancel = cancel.twin()
aenqueue = enqueue.twin()
aenqueue_many = enqueue_many.twin()
aexplain = explain.twin()
aget = get.twin()
apause_queue = pause_queue.twin()
areplay = replay.twin()
areschedule = reschedule.twin()
aresume_queue = resume_queue.twin()

__all__ = [
    "OPERATIONS",
    "Auth",
    "Cancellation",
    "NewRun",
    "Operation",
    "acancel",
    "aenqueue",
    "aenqueue_many",
    "aexplain",
    "aget",
    "apause_queue",
    "areplay",
    "areschedule",
    "aresume_queue",
    "cancel",
    "enqueue",
    "enqueue_many",
    "explain",
    "get",
    "pause_queue",
    "replay",
    "reschedule",
    "resume_queue",
]
