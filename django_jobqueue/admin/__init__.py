"""The admin: pages to see and steer queues and runs, on the project's own admin site.

Pages only read. What they change goes through operations, by POST, with the user as the actor.
"""

from django_jobqueue.admin.activities import ActivityAdmin
from django_jobqueue.admin.queues import QueueAdmin
from django_jobqueue.admin.runs import RunAdmin
from django_jobqueue.admin.schedules import ScheduleAdmin
from django_jobqueue.admin.workers import WorkerAdmin

__all__ = ["ActivityAdmin", "QueueAdmin", "RunAdmin", "ScheduleAdmin", "WorkerAdmin"]
