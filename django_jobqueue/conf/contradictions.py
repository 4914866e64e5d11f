"""Options that make no sense together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from django_jobqueue.limits import Rate
from django_jobqueue.states import Delivery


class LimitOptions(Protocol):
    """The limits that a queue or a job declares."""

    @property
    def concurrent_jobs(self) -> int | None: ...
    @property
    def concurrent_jobs_per_key(self) -> int | None: ...
    @property
    def keep_order(self) -> bool: ...
    @property
    def rate_limit(self) -> Rate | None: ...
    @property
    def rate_burst(self) -> int: ...


class TimeoutOptions(Protocol):
    """How long an attempt may take."""

    @property
    def timeout_seconds(self) -> float | None: ...
    @property
    def hard_timeout_seconds(self) -> float | None: ...


def timeout_contradictions(options: TimeoutOptions) -> Iterator[str]:
    """Tell what contradicts itself in the timeouts of a job."""
    soft, hard = options.timeout_seconds, options.hard_timeout_seconds
    if hard is not None and soft is None:
        yield "hard_timeout_seconds is not read without timeout_seconds"
    if hard is not None and soft is not None and hard < soft:
        yield f"hard_timeout_seconds ({hard:g}) is less than timeout_seconds ({soft:g})"


class DeliveryOptions(Protocol):
    """What becomes of an attempt that was cut off."""

    @property
    def atomic(self) -> bool: ...
    @property
    def delivery(self) -> Delivery: ...


def delivery_contradictions(options: DeliveryOptions) -> Iterator[str]:
    """Tell what contradicts itself in what a job promises of its delivery."""
    if options.atomic and options.delivery == Delivery.AT_MOST_ONCE:
        yield "atomic undoes an attempt that was cut off, to start it again, and delivery 'at_most_once' forbids that"


def contradictions(options: LimitOptions) -> Iterator[str]:
    """Tell what contradicts itself in the limits of a queue or a job."""
    at_once, per_key = options.concurrent_jobs, options.concurrent_jobs_per_key
    if options.keep_order and per_key != 1:
        yield "keep_order needs concurrent_jobs_per_key 1 beside it: what runs at the same time has no order"
    if at_once is not None and per_key is not None and per_key > at_once:
        yield f"concurrent_jobs_per_key ({per_key}) is more than concurrent_jobs ({at_once})"
    if options.rate_burst > 1 and options.rate_limit is None:
        yield "rate_burst is not read without rate_limit"
