"""A site whose views add runs."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from django_jobqueue import queues


def order(request: HttpRequest) -> HttpResponse:
    """Add a run, and fail where the request asks for it."""
    Group.objects.create(name=request.POST["to"])
    run = queues.mail.add("send", {"to": request.POST["to"]})
    if "fail" in request.POST:
        raise RuntimeError("after adding")
    return JsonResponse({"run": run.pk})


async def order_async(request: HttpRequest) -> HttpResponse:
    run = await queues.mail.aadd("send", {"to": request.POST["to"]}, priority=3)
    more = await queues.mail.abulk_add({"job": "send", "payload": {"to": to}} for to in "ab")
    return JsonResponse({"runs": [run.pk, *more]})


urlpatterns = [path("order/", order), path("order-async/", order_async)]
