"""PostgreSQL: claims from a queue that is limited as a whole and in nothing else."""

from __future__ import annotations

from time import monotonic
from typing import Any

from django_jobqueue.engines.base import Bounds, Claim, CountedClaiming, Room, in_claim_order
from django_jobqueue.engines.postgresql.claiming import PostgreSQLClaiming
from django_jobqueue.engines.postgresql.lines import PostgreSQLLines


class PostgreSQLCountedClaiming(PostgreSQLLines, CountedClaiming):
    """Locks, counts, claims and commits in one round trip: the lock is held for as long as that takes the server."""

    # What is left is told to the next statement, and to the claimer. See ``Room``.
    COUNT = """
        SELECT set_config('jobqueue.room', (number + GREATEST(0, LEAST(
                   %(ahead)s, %(most)s / 2 - running - number)))::text, TRUE)::int,
               clock_timestamp()
          FROM (SELECT running, GREATEST(0, LEAST(%(wanted)s, %(most)s - running)) AS number
                  FROM (SELECT count(*)::int AS running
                          FROM jobqueue_run
                         WHERE namespace = %(namespace)s
                           AND queue = %(queue)s
                           AND state = 'running') AS counted) AS room
    """
    DUE_IN_ROOM = PostgreSQLClaiming.DUE_UP_TO.replace("{number}", "current_setting('jobqueue.room')::bigint")

    CLAIM_COUNTED = f"""
        {PostgreSQLClaiming.LEVELS}
        {PostgreSQLClaiming.LEASE}
            WHERE run.id = ANY(ARRAY({DUE_IN_ROOM}))
        {PostgreSQLClaiming.LEASED}
    """

    CLAIM_COUNTED_BEHIND = f"""
        {PostgreSQLClaiming.BEHIND}
        {PostgreSQLClaiming.LEASE}
            WHERE run.id = ANY(ARRAY({DUE_IN_ROOM}))
              AND NOT EXISTS (SELECT FROM unknown)
        {PostgreSQLClaiming.LEASED}
    """

    def claim_counted(
        self,
        namespace: str,
        queue: str,
        *,
        worker: str,
        room: Room,
        lease_seconds: float,
        bounds: Bounds | None = None,
        last: bool = False,
    ) -> tuple[list[Claim], bool]:
        bounds = Bounds() if bounds is None else bounds
        levels = bounds.of(namespace, queue, now=monotonic())
        parameters: dict[str, Any] = {
            "namespace": namespace,
            "queue": queue,
            "queues": self.document([queue]),
            "worker": worker,
            "most": room.most,
            "wanted": room.wanted,
            "ahead": room.ahead,
            "lease_seconds": lease_seconds,
            "ruled": False,
            "bounds": self.document(level._asdict() for level in levels),
        }
        claim = self.CLAIM_COUNTED_BEHIND if levels else self.CLAIM_COUNTED
        statements = [self.LOCK, self.COUNT, claim, self.CLOCK, *(["COMMIT"] if last else [])]
        _, [[number, begun]], rows, [[ended]], *_ = self.fetch_each(statements, parameters)
        claims = in_claim_order(map(Claim._make, rows))
        enough, seconds = len(claims) == number, (ended - begun).total_seconds()
        if levels:
            bounds.move(namespace, queue, claims, enough=enough, seconds=seconds, now=monotonic())
        elif enough:
            self._set_bounds(bounds, parameters, seconds=seconds)
        return claims, len(claims) >= room.wanted + room.ahead or bool(levels and not enough)
