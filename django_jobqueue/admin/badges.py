"""Badges: where something stands, by colour, shape and word."""

from __future__ import annotations

from datetime import datetime

from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_jobqueue.models import Run
from django_jobqueue.states import Reason, State

WORDS: dict[str, str | Promise] = {
    "pending": _("pending"),
    "due": _("due"),
    "scheduled": _("scheduled"),
    "retrying": _("retrying"),
    "running": _("running"),
    "completed": _("completed"),
    "failed": _("failed"),
    "dead_lettered": _("dead-lettered"),
    "cancelled": _("cancelled"),
    "retried": _("retried"),
    "snoozed": _("snoozed"),
    "timed_out": _("timed out"),
    "crashed": _("crashed"),
    "released": _("released"),
    "working": _("working"),
    "paused": _("paused"),
    "idle": _("no worker"),
    "alive": _("alive"),
    "lost": _("lost"),
    "enabled": _("enabled"),
    "disabled": _("disabled"),
    "removed": _("removed from code"),
    "ended": _("ended"),
    "skipped": _("no run"),
}

SHAPES = {
    "pending": "○",
    "due": "○",
    "scheduled": "◔",
    "retrying": "↻",
    "running": "▶",
    "completed": "✓",
    "failed": "✕",
    "dead_lettered": "▲",
    "cancelled": "⊘",
    "retried": "↻",
    "snoozed": "◔",
    "timed_out": "✕",
    "crashed": "▲",
    "released": "↩",
    "working": "●",
    "paused": "‖",
    "idle": "▲",
    "alive": "●",
    "lost": "▲",
    "enabled": "●",
    "disabled": "‖",
    "removed": "⊘",
    "ended": "■",
    "skipped": "○",
}

TONES = {
    "scheduled": "quiet",
    "snoozed": "quiet",
    "released": "quiet",
    "cancelled": "quiet",
    "retrying": "warning",
    "retried": "warning",
    "paused": "warning",
    "idle": "warning",
    "running": "active",
    "completed": "good",
    "working": "good",
    "alive": "good",
    "enabled": "good",
    "disabled": "warning",
    "removed": "quiet",
    "ended": "quiet",
    "skipped": "warning",
    "failed": "bad",
    "timed_out": "bad",
    "crashed": "bad",
    "lost": "bad",
    "dead_lettered": "bad",
}

OBVIOUS_REASONS = {Reason.RETURNED, Reason.CANCELLED}


def badge(word: str) -> SafeString:
    """The badge of a state, an outcome, or a condition of a queue or a worker."""
    return format_html(
        '<span class="jq-badge jq-{}"><span aria-hidden="true">{}</span> {}</span>',
        TONES.get(word, "plain"),
        SHAPES.get(word, "?"),
        WORDS.get(word, word),
    )


def run_badge(run: Run, *, now: datetime) -> SafeString:
    """The badge of a run, with its reason where the state alone does not tell it."""
    notes = []
    if run.reason and run.reason not in OBVIOUS_REASONS:
        notes.append(run.reason.replace("_", " "))
    if run.state == State.RUNNING and run.cancel_requested_at:
        notes.append(str(_("asked to cancel")))
    if run.state == State.PENDING and run.blocked_on:
        notes.append(str(_("waits for %s")) % run.blocked_on)
    shown = badge(run.standing(now=now))
    return format_html('{} <span class="jq-note">{}</span>', shown, ", ".join(notes)) if notes else shown
