"""The pages. What a visitor need not wait for is added to a queue: a worker does it a moment later."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.db.models import Count, Q
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import aget_object_or_404, get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from django_jobqueue import queues
from django_jobqueue.models import Run
from example_project.shop.forms import OrderForm, SignUpForm
from example_project.shop.models import Customer, Order, Shipment


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Show the latest orders, and what the queues are doing."""
    figures = Run.objects.values("queue").annotate(
        pending=Count("pk", filter=Q(state="pending")),
        running=Count("pk", filter=Q(state="running")),
        completed=Count("pk", filter=Q(state="completed")),
        dead_lettered=Count("pk", filter=Q(state="dead_lettered")),
    )
    return render(
        request,
        "shop/home.html",
        {
            "customers": Customer.objects.count(),
            "orders": Order.objects.select_related("customer", "product", "shipment")[:8],
            "figures": figures.order_by("queue"),
            "dead_letters": Run.objects.in_state("dead_lettered").order_by("-pk")[:4],
            "runs": Run.objects.order_by("-pk")[:12],
        },
    )


@require_http_methods(["GET", "POST"])
def join(request: HttpRequest) -> HttpResponse:
    """Sign up."""
    form = SignUpForm(request.POST or None)
    if form.is_valid():
        with transaction.atomic():  # the customer and the run are saved together, or neither is
            customer = form.save()
            queues.notifications.add(job="send_welcome", payload={"customer_id": customer.pk})
        messages.success(request, f"Welcome, {customer.name}! A mail is on its way to you.")
        return redirect(reverse("shop:buy", query={"email": customer.email}))
    return render(request, "shop/join.html", {"form": form})


@require_http_methods(["GET", "POST"])
def buy(request: HttpRequest) -> HttpResponse:
    """Place an order."""
    form = OrderForm(request.POST or None, initial={"email": request.GET.get("email", "")})
    if form.is_valid():
        with transaction.atomic():
            order = form.save()
            payload = {"order_id": order.pk}
            queues.notifications.add(job="send_order_confirmation", payload=payload)
            queues.default.add(job="reserve_stock", payload=payload)
            queues.reports.add(job="render_invoice", payload=payload, delay_seconds=1)
        messages.success(request, "Thank you! A confirmation is on its way to you.")
        return redirect(order)
    return render(request, "shop/buy.html", {"form": form})


@require_GET
def order(request: HttpRequest, order_id: int) -> HttpResponse:
    """Show one order, and how far it is."""
    found = get_object_or_404(Order.objects.select_related("customer", "product", "shipment"), pk=order_id)
    return render(request, "shop/order.html", {"order": found})


@require_POST
def ship(request: HttpRequest, order_id: int) -> HttpResponse:
    """Send the parcel off. The mail about it is added in ``signals.py``, wherever a shipment is made."""
    with transaction.atomic():
        found = get_object_or_404(Order, pk=order_id)
        _, shipped = Shipment.objects.get_or_create(order=found)
    if shipped:
        messages.success(request, "The parcel is on its way.")
    return redirect(found)


@require_POST
async def resend(request: HttpRequest, order_id: int) -> HttpResponse:
    """Send the confirmation again. An async view adds its runs with ``aadd``."""
    found = await aget_object_or_404(Order, pk=order_id)
    await queues.notifications.aadd(job="send_order_confirmation", payload={"order_id": found.pk})
    messages.success(request, "The confirmation is on its way to you once more.")
    return redirect(found)


@require_GET
def invoice(request: HttpRequest, order_id: int) -> FileResponse:
    """Show the invoice, once the job has made it."""
    try:
        return FileResponse((settings.INVOICES / f"{order_id}.html").open("rb"))
    except FileNotFoundError:
        raise Http404("This invoice is not made yet.") from None
