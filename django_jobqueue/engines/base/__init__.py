"""The engine: what every database must do in its own SQL, and the values that go in and come out.

An engine works on many runs at once, on the connection and in the transaction of its caller, by the database's clock.
What plain ORM does equally well everywhere is not here: it is a QuerySet method.
"""

from __future__ import annotations

from django_jobqueue.engines.base.bounds import Bound, Bounds
from django_jobqueue.engines.base.claiming import Claim, Claiming, in_claim_order
from django_jobqueue.engines.base.counted_claiming import CountedClaiming, Room
from django_jobqueue.engines.base.database import Database
from django_jobqueue.engines.base.deleting import Deleting
from django_jobqueue.engines.base.engine import Engine
from django_jobqueue.engines.base.glancing import Glance, Glancing
from django_jobqueue.engines.base.inserting import Inserted, Inserting, KeptKey, NewRun, matched
from django_jobqueue.engines.base.leases import Leases, Note
from django_jobqueue.engines.base.lines import Lines, Locked, Placing, Running, by_queue, passed_over
from django_jobqueue.engines.base.locking import Locking
from django_jobqueue.engines.base.reaping import LostRun, Reaping
from django_jobqueue.engines.base.ref import Ref, in_lock_order, states
from django_jobqueue.engines.base.schedules import Advance, Due, Schedules
from django_jobqueue.engines.base.settling import Counter, Settlement, Settling
from django_jobqueue.engines.base.waking import Ear, Voice, Waking, Word

__all__ = [
    "Advance",
    "Bound",
    "Bounds",
    "Claim",
    "Claiming",
    "CountedClaiming",
    "Counter",
    "Database",
    "Deleting",
    "Due",
    "Ear",
    "Engine",
    "Glance",
    "Glancing",
    "Inserted",
    "Inserting",
    "KeptKey",
    "Leases",
    "Lines",
    "Locked",
    "Locking",
    "LostRun",
    "NewRun",
    "Note",
    "Placing",
    "Reaping",
    "Ref",
    "Room",
    "Running",
    "Schedules",
    "Settlement",
    "Settling",
    "Voice",
    "Waking",
    "Word",
    "by_queue",
    "in_claim_order",
    "in_lock_order",
    "matched",
    "passed_over",
    "states",
]
