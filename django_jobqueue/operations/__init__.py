"""The one door for writes: whatever a person or a program can ask for.

Each operation is a function with typed arguments and a typed answer, and has a twin for async code. ``OPERATIONS`` has
all of them, with what a face must know: key, version, who may call it, and which events may come of it.
"""

from django_jobqueue.engines.base import NewRun
from django_jobqueue.operations.cancelling import Cancellation, cancel
from django_jobqueue.operations.cancelling_many import CancelledMany, cancel_many
from django_jobqueue.operations.checking import Checked, check_pending
from django_jobqueue.operations.explaining import explain
from django_jobqueue.operations.job_pauses import pause_job, resume_job
from django_jobqueue.operations.limits import clear_limit, set_limit
from django_jobqueue.operations.operation import OPERATIONS, Auth, Operation
from django_jobqueue.operations.purging import Purged, purge
from django_jobqueue.operations.queues import pause_queue, resume_queue
from django_jobqueue.operations.replaying import replay
from django_jobqueue.operations.replaying_many import ReplayedMany, replay_many
from django_jobqueue.operations.rescheduling import reschedule
from django_jobqueue.operations.run_filter import RunFilter
from django_jobqueue.operations.runs import enqueue, enqueue_many, get
from django_jobqueue.operations.schedules import (
    schedule_create,
    schedule_delete,
    schedule_edit,
    schedule_fire_now,
    schedule_get,
    schedule_list,
    schedule_reset,
    schedule_skip_next,
    schedule_toggle,
)
from django_jobqueue.operations.statistics import Figures, Stats, stats

acancel = cancel.twin()
acancel_many = cancel_many.twin()
areplay_many = replay_many.twin()
aclear_limit = clear_limit.twin()
apause_job = pause_job.twin()
aresume_job = resume_job.twin()
aset_limit = set_limit.twin()
acheck_pending = check_pending.twin()
aenqueue = enqueue.twin()
aenqueue_many = enqueue_many.twin()
aexplain = explain.twin()
aget = get.twin()
apause_queue = pause_queue.twin()
apurge = purge.twin()
areplay = replay.twin()
areschedule = reschedule.twin()
aresume_queue = resume_queue.twin()
aschedule_create = schedule_create.twin()
aschedule_delete = schedule_delete.twin()
aschedule_edit = schedule_edit.twin()
aschedule_fire_now = schedule_fire_now.twin()
aschedule_get = schedule_get.twin()
aschedule_list = schedule_list.twin()
aschedule_reset = schedule_reset.twin()
aschedule_skip_next = schedule_skip_next.twin()
aschedule_toggle = schedule_toggle.twin()

astats = stats.twin()

__all__ = [
    "OPERATIONS",
    "Auth",
    "Cancellation",
    "CancelledMany",
    "Checked",
    "Figures",
    "NewRun",
    "Operation",
    "Purged",
    "ReplayedMany",
    "RunFilter",
    "Stats",
    "acancel",
    "acancel_many",
    "acheck_pending",
    "aclear_limit",
    "aenqueue",
    "aenqueue_many",
    "aexplain",
    "aget",
    "apause_job",
    "apause_queue",
    "apurge",
    "areplay",
    "areplay_many",
    "areschedule",
    "aresume_job",
    "aresume_queue",
    "aschedule_create",
    "aschedule_delete",
    "aschedule_edit",
    "aschedule_fire_now",
    "aschedule_get",
    "aschedule_list",
    "aschedule_reset",
    "aschedule_skip_next",
    "aschedule_toggle",
    "aset_limit",
    "astats",
    "cancel",
    "cancel_many",
    "check_pending",
    "clear_limit",
    "enqueue",
    "enqueue_many",
    "explain",
    "get",
    "pause_job",
    "pause_queue",
    "purge",
    "replay",
    "replay_many",
    "reschedule",
    "resume_job",
    "resume_queue",
    "schedule_create",
    "schedule_delete",
    "schedule_edit",
    "schedule_fire_now",
    "schedule_get",
    "schedule_list",
    "schedule_reset",
    "schedule_skip_next",
    "schedule_toggle",
    "set_limit",
    "stats",
]
