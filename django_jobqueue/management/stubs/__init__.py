"""Stubs: what a type checker and an editor should know of the queues and jobs that only settings and code can tell."""

from django_jobqueue.management.stubs.module import MARK, source_of_module

__all__ = ["MARK", "source_of_module"]
