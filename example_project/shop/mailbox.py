"""The mailbox: how the shop's mails are written, and the folder that they end in."""

from __future__ import annotations

from collections.abc import Sequence
from email.headerregistry import Address
from uuid import uuid4

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.template.loader import render_to_string

from django_jobqueue import RunContext
from example_project.shop.models import Customer
from example_project.shop.trouble import refuse_sometimes


def send(template: str, subject: str, customer: Customer, run: RunContext, **context: object) -> None:
    """Send *customer* a mail, as text and as HTML.

    It bears the id of its run: where a run is worked twice, mail servers see that the second mail is a copy.
    """
    context["customer"] = customer
    mail = EmailMultiAlternatives(
        subject,
        render_to_string(f"shop/mails/{template}.txt", context),
        to=[str(Address(customer.name, addr_spec=customer.email))],
        headers={"Message-ID": f"<run-{run.id}@shop.example>"},
    )
    mail.attach_alternative(render_to_string(f"shop/mails/{template}.html", context), "text/html")
    refuse_sometimes(customer.email, run.attempt)
    mail.send()


class MailboxBackend(BaseEmailBackend):
    """Puts each mail into a file of its own, however many threads and processes send at once.

    Django's file backend names its files by the second and by an address in memory: two mails may end in one file.
    """

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        settings.MAILBOX.mkdir(exist_ok=True)
        for message in email_messages:
            (settings.MAILBOX / f"{uuid4()}.eml").write_bytes(message.message().as_bytes())
        return len(email_messages)
