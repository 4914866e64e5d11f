"""The project that the suite tests in.

``tests.plugin`` sets the environment that is read here. Programs that a test starts inherit it, and so
work in the same test database.
"""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

# What is loaded stays. To look for garbage in it, again and again, would take an eighth of each start of a program.
gc.set_threshold(100_000)

SECRET_KEY = "tests"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_jobqueue",
    "tests.shop",
]

# The site of the admin, as strict as a site can be.
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
MIDDLEWARE = [
    "example_project.config.security.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
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

VENDOR = os.environ.get("JOBQUEUE_TEST_DATABASE", "sqlite")
FOLDER = Path(os.environ.get("JOBQUEUE_TEST_FOLDER", tempfile.gettempdir()))
TEST_NAME = os.environ.get("JOBQUEUE_TEST_DATABASE_NAME")

if VENDOR == "mysql":
    from tests import mysql_driver  # which takes its time, in each program that a test starts

    mysql_driver.provide()

DATABASES = {
    "default": {
        "sqlite": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": TEST_NAME or FOLDER / "jobqueue.sqlite3",
            "OPTIONS": {
                # No test takes the power away: nothing need wait for the disk.
                "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF",
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
            },
            # A file, because threads and other processes work in it too.
            "TEST": {"NAME": FOLDER / "test_jobqueue.sqlite3"},
        },
        "postgresql": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": TEST_NAME or "jobqueue",
            "HOST": os.environ.get("JOBQUEUE_TEST_POSTGRESQL_HOST", ""),
            "PORT": os.environ.get("JOBQUEUE_TEST_POSTGRESQL_PORT", ""),
            "USER": "postgres",
        },
        "mysql": {
            "ENGINE": "django.db.backends.mysql",
            "NAME": TEST_NAME or "jobqueue",
            "HOST": os.environ.get("JOBQUEUE_TEST_MYSQL_HOST", ""),
            "PORT": os.environ.get("JOBQUEUE_TEST_MYSQL_PORT", ""),
            "USER": os.environ.get("JOBQUEUE_TEST_MYSQL_USER", "root"),
            "PASSWORD": os.environ.get("JOBQUEUE_TEST_MYSQL_PASSWORD", ""),
            "TEST": {"CHARSET": "utf8mb4"},
        },
    }[VENDOR]
}

# The tables of others are made in one go, without the migrations by which they grew.
MIGRATION_MODULES = dict.fromkeys(["admin", "auth", "contenttypes", "sessions"])

SILENCED_SYSTEM_CHECKS = ["jobqueue.W004"]  # the shop has atomic jobs, on SQLite too

# JOBQUEUE = {...}: none yet, so that the suite starts from the defaults. A test that needs queues overrides it.
