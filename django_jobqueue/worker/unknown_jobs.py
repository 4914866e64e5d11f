"""Runs whose jobs this release cannot work: left to other releases, until none has known them for an hour."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Claim, Settlement
from django_jobqueue.models import Run
from django_jobqueue.states import Outcome, Reason, State
from django_jobqueue.worker.returns import Returns
from django_jobqueue.worker.runner import Ended

logger = logging.getLogger(__name__)

UNKNOWN_JOB_DELAY_SECONDS = 30.0
"""How long a run whose job this release does not know is left to workers of another release."""
UNKNOWN_JOB_SECONDS = 3600.0
"""For how long every worker that claims it may not know its job, before it ends as failed."""


class UnknownJobs:
    """Collects the claims of such runs, and has them handed back together."""

    def __init__(self, returns: Returns) -> None:
        self._returns = returns
        self._claims: list[Claim] = []

    def add(self, claim: Claim) -> None:
        self._claims.append(claim)

    def put_back(self) -> list[Ended]:
        """Leave them to workers of another release; answer with the ends of those that none has known for an hour."""
        if not self._claims:
            return []
        given_up = _given_up(self._claims)
        waiting = [claim for claim in self._claims if claim not in given_up]
        if waiting:
            names = sorted({f"{claim.queue}.{claim.job}@{claim.version}" for claim in waiting})
            logger.warning("Not known here, and left to workers of another release: %s.", ", ".join(names))
            self._returns.add(waiting, UNKNOWN_JOB_DELAY_SECONDS, unknown=True)
        self._claims = []
        return [_never_known(claim) for claim in given_up]


def _given_up(claims: Sequence[Claim]) -> list[Claim]:
    """Those of *claims* that no worker has known for so long."""
    database = get_config().database
    before = engine_for(database).now() - timedelta(seconds=UNKNOWN_JOB_SECONDS)
    runs = Run.objects.using(database).filter(pk__in=[claim.id for claim in claims], unknown_since__lte=before)
    ids = set(runs.values_list("pk", flat=True))
    return [claim for claim in claims if claim.id in ids]


def _never_known(claim: Claim) -> Ended:
    settlement = Settlement(
        claim.ref,
        outcome=Outcome.FAILED,
        state=State.FAILED,
        reason=Reason.UNKNOWN_JOB,
        counter="failures",
        error=f"No release could work job {claim.job!r} of queue {claim.queue!r} in version {claim.version} for an hour.",
    )
    return Ended(claim, settlement)
