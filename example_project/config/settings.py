"""The example's settings. What concerns django-jobqueue stands at the end."""

from __future__ import annotations

import os
from pathlib import Path

import django

from example_project.config.database import database

PROJECT = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("SHOP_FOLDER", PROJECT / "var"))
VAR.mkdir(parents=True, exist_ok=True)

SECRET_KEY = "an example has no secrets"
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_jobqueue",
    "example_project.shop",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "example_project.config.security.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

ROOT_URLCONF = "example_project.config.urls"
WSGI_APPLICATION = "example_project.config.wsgi.application"
ASGI_APPLICATION = "example_project.config.asgi.application"

DATABASES = {"default": database(os.environ.get("DATABASE", str(VAR / "shop.sqlite3")))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"

# The shop's mail goes nowhere: each one becomes a file in this folder.
MAILBOX = VAR / "mailbox"
INVOICES = VAR / "invoices"
DEFAULT_FROM_EMAIL = "The Corner Shop <hello@shop.example>"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": "example_project.shop.mailbox.MailboxBackend"}}
else:
    EMAIL_BACKEND = "example_project.shop.mailbox.MailboxBackend"

JOBQUEUE = {
    "queues": {
        "default": {},
        # Mails: many at a time, and tried again soon. What is not a queue's own option is the default of its jobs.
        "notifications": {
            "concurrent_jobs": 8,  # at once, across all workers
            "max_attempts": 4,
            "backoff": {"mode": "exponential", "initial_seconds": 0.5, "max_seconds": 2},
            "jobs": {
                "send_welcome": "example_project.shop.jobs.send_welcome",
                "send_order_confirmation": {
                    "run": "example_project.shop.jobs.send_order_confirmation",
                    "title": "Order confirmation",
                    "priority": 10,  # before the welcome mails, however many of them wait
                },
                # Further jobs join by themselves: those that shop/jobs.py declares with @job(queue="notifications").
            },
        },
        # Slow work has a queue of its own, so that no mail ever waits behind it.
        "reports": {
            "concurrent_jobs": 2,
            "jobs": {"render_invoice": "example_project.shop.jobs.render_invoice"},
        },
    },
    "worker": {"concurrency": 12, "grace_seconds": 10},
}
