"""What visitors fill in."""

from __future__ import annotations

from django import forms

from example_project.shop.models import Customer, Order


class SignUpForm(forms.ModelForm):
    class Meta:
        model = Customer
        fields = ["name", "email", "country"]


class OrderForm(forms.ModelForm):
    """An order by somebody who signed up: the shop knows its customers by their e-mail address."""

    email = forms.EmailField(label="Your e-mail address")
    quantity = forms.IntegerField(min_value=1, max_value=99, initial=1)

    class Meta:
        model = Order
        fields = ["product", "quantity"]

    field_order = ["email", "product", "quantity"]

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        customer = Customer.objects.filter(email__iexact=email).first()
        if customer is None:
            raise forms.ValidationError("We do not know this address yet. Please sign up first.")
        self.instance.customer = customer
        return email
