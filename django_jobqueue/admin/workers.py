"""Workers: the processes that claim runs, as they last reported themselves."""

from __future__ import annotations

from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext_lazy

from django_jobqueue.admin import times
from django_jobqueue.admin.badges import badge
from django_jobqueue.admin.read_only import ReadOnlyAdmin
from django_jobqueue.models import Worker
from django_jobqueue.operations.workers import is_alive


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ["label", "condition", "heartbeat", "slots_used", "queue_names", "started"]
    list_display_links = None
    ordering = ["-heartbeat_at", "name"]

    @admin.display(description=gettext_lazy("worker"))
    def label(self, worker: Worker) -> str:
        return worker.name

    @admin.display(description=gettext_lazy("condition"))
    def condition(self, worker: Worker) -> str:
        return badge("alive" if is_alive(worker, now=timezone.now()) else "lost")

    @admin.display(description=gettext_lazy("heartbeat"))
    def heartbeat(self, worker: Worker) -> str:
        return times.relative(worker.heartbeat_at, now=timezone.now())

    @admin.display(description=gettext_lazy("slots used"))
    def slots_used(self, worker: Worker) -> str:
        return f"{worker.running} / {worker.concurrency}"

    @admin.display(description=gettext_lazy("queues"))
    def queue_names(self, worker: Worker) -> str:
        slots = worker.slots or {}
        return ", ".join(f"{queue}:{slots[queue]}" if queue in slots else queue for queue in worker.queues)

    @admin.display(description=gettext_lazy("started"))
    def started(self, worker: Worker) -> str:
        return times.relative(worker.started_at, now=timezone.now())
