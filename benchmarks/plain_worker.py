"""A worker of plain SQL: hears of a run, claims it, and tells when its job could start. ``latency`` starts it.

python -m benchmarks.plain_worker CONNINFO EAR
"""

from __future__ import annotations

import sys
from socket import AF_UNIX, SOCK_DGRAM, socket
from time import monotonic

import psycopg

from benchmarks.ceiling import POSTGRESQL_CLAIM

CHANNEL = "plain"
CLAIM = POSTGRESQL_CLAIM.replace("'default'", f"'{CHANNEL}'")
"""Of a namespace, and a queue, that no other worker sees."""


def work(conninfo: str, ear: str) -> None:
    """Work until the process is ended."""
    with (
        psycopg.connect(conninfo, autocommit=True) as listening,
        psycopg.connect(conninfo, autocommit=True, prepare_threshold=0) as claiming,
        socket(AF_UNIX, SOCK_DGRAM) as mouth,
    ):
        listening.execute(f"LISTEN {CHANNEL}")
        mouth.sendto(str(monotonic()).encode(), ear)
        for _ in listening.notifies():
            for _ in claiming.execute(CLAIM, [1]).fetchall():
                mouth.sendto(str(monotonic()).encode(), ear)


if __name__ == "__main__":
    work(*sys.argv[1:])
