from __future__ import annotations

from django.contrib import admin

from example_project.shop.models import Customer, Order, Product, Shipment


@admin.register(Customer)
class CustomerAdmin(admin.ModelAdmin):
    list_display = ["name", "email", "country", "created_at", "newsletter_since"]
    list_filter = ["country"]
    search_fields = ["name", "email"]


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ["name", "price"]
    search_fields = ["name"]


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ["number", "customer", "product", "quantity", "reservation", "invoiced_at", "shipment"]
    list_select_related = ["customer", "product", "shipment"]
    autocomplete_fields = ["customer", "product"]
    search_fields = ["customer__name", "customer__email"]


@admin.register(Shipment)
class ShipmentAdmin(admin.ModelAdmin):
    list_display = ["tracking_code", "order", "created_at"]
    autocomplete_fields = ["order"]
