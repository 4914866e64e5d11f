"""Two admin sites: the project's own, and another that shows only some of our pages."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.admin import AdminSite
from django.urls import path

from django_jobqueue.admin import QueueAdmin, RunAdmin
from django_jobqueue.models import QueueState, Run

operations_site = AdminSite(name="operations")
operations_site.register(Run, RunAdmin)
operations_site.register(QueueState, QueueAdmin)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("operations/", operations_site.urls),
]
