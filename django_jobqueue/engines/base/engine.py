"""The engine: all that a database must do in its own SQL."""

from __future__ import annotations

from django_jobqueue.engines.base.counted_claiming import CountedClaiming
from django_jobqueue.engines.base.glancing import Glancing
from django_jobqueue.engines.base.inserting import Inserting
from django_jobqueue.engines.base.leases import Leases
from django_jobqueue.engines.base.reaping import Reaping
from django_jobqueue.engines.base.schedules import Schedules
from django_jobqueue.engines.base.waking import Waking


class Engine(Inserting, CountedClaiming, Leases, Reaping, Schedules, Glancing, Waking):
    """The SQL of one database vendor, for the tables of one database alias."""
