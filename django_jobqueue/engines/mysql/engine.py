"""MySQL: the engine."""

from __future__ import annotations

from django_jobqueue.engines.base import Engine
from django_jobqueue.engines.mysql.claiming import MySQLClaiming
from django_jobqueue.engines.mysql.inserting import MySQLInserting
from django_jobqueue.engines.mysql.keys import MySQLKeys
from django_jobqueue.engines.mysql.leases import MySQLLeases
from django_jobqueue.engines.mysql.lines import MySQLLines
from django_jobqueue.engines.mysql.reaping import MySQLReaping
from django_jobqueue.engines.mysql.schedules import MySQLSchedules


class MySQLEngine(
    MySQLInserting,
    MySQLKeys,
    MySQLClaiming,
    MySQLLeases,
    MySQLReaping,
    MySQLSchedules,
    MySQLLines,
    Engine,
):
    """The SQL of MariaDB and MySQL."""
