"""The scheduler: what is due is fired, by any worker, with no leader.

A tick locks the due schedules, decides what becomes of each of their due times, inserts the runs, and moves the schedules
on, all in one transaction: a crash leaves everything or nothing, and whoever comes second finds nothing due.
"""

from django_jobqueue.scheduler.ticks import Scheduler, Tick

__all__ = ["Scheduler", "Tick"]
