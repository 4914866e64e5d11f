"""Limits: who may start, who must wait, and for what. Pure policy; the engines do the counting, the locking, the writing.

A run can be held back by

- the **queue**: as many of its runs are running as ``concurrent_jobs`` of the queue allows;
- a **pause** of its job;
- its **key**: as many runs of that key are running as ``concurrent_jobs_per_key`` allows, or, where the order is kept,
  an earlier run of the key has not ended;
- its **job**: as many runs of the job are running as ``concurrent_jobs`` of the job allows;
- a **rate**: the bucket of the job, or of the queue, has no token.

The queue as a whole holds nobody in particular: nothing is claimed from it. Whoever is held by one of the others is
**parked** on it, in the *line* of that limit, out of sight of every claim.

How that is exact, and loses nobody:

1. Whoever claims under limits, or lets a parked run go, first takes the lock of the queue, as a statement of its own:
   only what is read after the wait for the lock is true until the transaction ends. Whoever has it waits for nobody:
   what may have to wait, such as settling, comes before it.
2. A claim counts what is running, however it came to be so: a slot is taken until its attempt is settled or reaped, and
   no counter can go astray. Then it goes through runs in the order of claiming, and asks an ``Allowance`` for each.
3. Whoever is not admitted is parked in the same transaction. Nobody is parked on a limit that has a slot or a token.
4. Whoever frees a slot calls as many runs from the front of the line, under the lock: in the order of claiming, or where
   the order is kept, the earliest. A token comes by itself, so its bucket knows when the next claim is to look at the line.
5. What slips through all the same, such as a limit that is gone from the settings, a sweep finds about every second.
"""

from __future__ import annotations

from django_jobqueue.limits.allowance import Allowance
from django_jobqueue.limits.limit import Candidate, Limit
from django_jobqueue.limits.rate import Bucket, Rate
from django_jobqueue.limits.rules import NO_RULES, QueueRules, Rules

__all__ = ["NO_RULES", "Allowance", "Bucket", "Candidate", "Limit", "QueueRules", "Rate", "Rules"]
