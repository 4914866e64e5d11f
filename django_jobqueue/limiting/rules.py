"""The rules of a queue: what the settings and the code say, and over it what operators have set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from django_jobqueue.conf import JobOptions, QueueConfig, get_config
from django_jobqueue.errors import JobQueueError
from django_jobqueue.jobs import registry
from django_jobqueue.limits import NO_RULES, QueueRules, Rate, Rules
from django_jobqueue.models import QueueState


def declared_rules(queue: str) -> QueueRules:
    """What the settings and the code say. A job that cannot work has no rules of its own."""
    config = get_config().queues.get(queue)
    if config is None:
        return QueueRules()
    rules = _rules(config)
    names = registry.names(queue)
    jobs, renamed = {}, {}
    for name in names:
        try:
            options = registry.get(queue, name).options
        except JobQueueError:
            continue
        jobs[name] = _rules(options)
        renamed.update({alias: name for alias in options.aliases if alias not in names})
    return QueueRules(
        replace(rules, rate_per_key="rate_key" in config.job_defaults),
        {name: of_job for name, of_job in jobs.items() if of_job != NO_RULES},
        renamed,
    )


def operated_rules(declared: QueueRules, states: Iterable[QueueState], *, now: datetime) -> QueueRules:
    """The rules with what operators have set for a queue and its jobs, as far as it has not ended."""
    queue, jobs = declared.queue, dict(declared.jobs)
    for state in states:
        if name := declared.job_of(state.job):
            jobs[name] = _operated(jobs.get(name, NO_RULES), state, now)
        else:
            queue = _operated(queue, state, now)
    return QueueRules(queue, {name: rules for name, rules in jobs.items() if rules != NO_RULES}, declared.renamed)


def states(namespace: str, queue: str, declared: QueueRules) -> list[QueueState]:
    """What operators have set for a queue and its jobs; the later is the newer."""
    found = QueueState.objects.using(get_config().database).filter(namespace=namespace, queue=queue)
    return newest_last(found, declared)


def newest_last(states: Iterable[QueueState], declared: QueueRules) -> list[QueueState]:
    """What was set under an old name of a job comes first."""
    return sorted(states, key=lambda state: state.job not in declared.renamed)


def _rules(options: QueueConfig | JobOptions) -> Rules:
    rate = options.rate_limit
    return Rules(
        concurrent_jobs=options.concurrent_jobs,
        concurrent_jobs_per_key=options.concurrent_jobs_per_key,
        keep_order=options.keep_order,
        rate=None if rate is None else replace(rate, burst=options.rate_burst),
    )


def _operated(rules: Rules, state: QueueState, now: datetime) -> Rules:
    if state.paused_at is not None and _holds(state.paused_until, now):
        rules = replace(rules, paused=True)
    if state.concurrent_jobs is not None and _holds(state.concurrent_jobs_until, now):
        rules = replace(rules, concurrent_jobs=state.concurrent_jobs, operated=True)
    if state.concurrent_jobs_per_key is not None and _holds(state.concurrent_jobs_per_key_until, now):
        rules = replace(rules, concurrent_jobs_per_key=state.concurrent_jobs_per_key, operated=True)
    if state.rate_limit is not None and _holds(state.rate_limit_until, now):
        rules = replace(rules, rate=Rate.parse(state.rate_limit), operated=True)
    return rules


def _holds(until: datetime | None, now: datetime) -> bool:
    return until is None or until > now
