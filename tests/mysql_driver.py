"""The driver for MySQL and MariaDB: mysqlclient, or where none can be built, PyMySQL in its place.

mysqlclient comes as source only, and needs a compiler and the client library; PyMySQL is plain Python.
"""

from __future__ import annotations

from importlib.util import find_spec

import pymysql


def provide() -> None:
    """Let ``import MySQLdb`` find a driver."""
    if find_spec("MySQLdb") is None:
        pymysql.install_as_MySQLdb()
