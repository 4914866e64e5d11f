from __future__ import annotations

from django.urls import path

from example_project.shop import views

app_name = "shop"
urlpatterns = [
    path("", views.home, name="home"),
    path("join/", views.join, name="join"),
    path("buy/", views.buy, name="buy"),
    path("orders/<int:order_id>/", views.order, name="order"),
    path("orders/<int:order_id>/ship/", views.ship, name="ship"),
    path("orders/<int:order_id>/resend/", views.resend, name="resend"),
    path("orders/<int:order_id>/invoice/", views.invoice, name="invoice"),
]
