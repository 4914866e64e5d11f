"""The shop's tables."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.urls import reverse
from django.utils import timezone


class Customer(models.Model):
    """Somebody who signed up."""

    name = models.CharField(max_length=100)
    email = models.EmailField("e-mail address", unique=True)
    country = models.CharField(max_length=60, blank=True)
    created_at = models.DateTimeField("joined", default=timezone.now, editable=False)
    newsletter_since = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


class Product(models.Model):
    """Something that can be bought."""

    name = models.CharField(max_length=100, unique=True)
    price = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name}, {self.price} €"


class Order(models.Model):
    """What a customer bought. Jobs fill in the rest: the warehouse's reservation, and when the invoice was made."""

    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    product = models.ForeignKey(Product, models.PROTECT)
    quantity = models.PositiveSmallIntegerField(default=1)
    created_at = models.DateTimeField("placed", default=timezone.now, editable=False)
    reservation = models.CharField(max_length=20, blank=True, editable=False)
    invoiced_at = models.DateTimeField("invoiced", null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"Order {self.number}"

    def get_absolute_url(self) -> str:
        return reverse("shop:order", args=[self.pk])

    @property
    def number(self) -> str:
        return f"A-{self.pk:05}"

    @property
    def total(self) -> Decimal:
        return self.quantity * self.product.price


class Shipment(models.Model):
    """The parcel of an order, once it is on its way. One to one: an order is shipped at most once."""

    order = models.OneToOneField(Order, models.CASCADE)
    created_at = models.DateTimeField("shipped", default=timezone.now, editable=False)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.tracking_code

    @property
    def tracking_code(self) -> str:
        return f"PX{self.order_id:07}"
