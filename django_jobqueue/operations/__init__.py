"""The one door for writes: whatever a person or a program can ask for."""

from django_jobqueue.engines.base import NewRun

__all__ = ["NewRun"]
