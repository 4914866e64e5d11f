"""The project as the programs see it that tests start: they only work runs, and show no pages."""

from __future__ import annotations

from tests.settings import *  # noqa: F403

INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_jobqueue", "tests.shop"]
SILENCED_SYSTEM_CHECKS = [*SILENCED_SYSTEM_CHECKS, "jobqueue.I001"]  # noqa: F405  # there is no admin
ROOT_URLCONF = ""
MIDDLEWARE = []
TEMPLATES = []
