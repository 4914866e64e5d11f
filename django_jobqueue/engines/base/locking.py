"""The lock of a queue, where statements are sent one by one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING

from django_jobqueue.engines.base.claiming import Claim
from django_jobqueue.engines.base.counted_claiming import CountedClaiming, Room
from django_jobqueue.engines.base.lines import Locked
from django_jobqueue.models import QueueState

if TYPE_CHECKING:
    from django_jobqueue.engines.base.bounds import Bounds


class Locking(CountedClaiming):
    """Waits for the lock, then looks, then claims."""

    @abstractmethod
    def wait_for_lock(self, namespace: str, queues: Collection[str]) -> None:
        """Take the locks of *queues*, until the transaction ends."""

    def lock(self, namespace: str, queues: Collection[str]) -> Locked:
        self.wait_for_lock(namespace, queues)
        states = QueueState.objects.using(self.alias).filter(namespace=namespace, queue__in=queues)
        return Locked(self.now(), list(states), self.running(namespace, queues))

    COUNT = """
        SELECT count(*)
          FROM jobqueue_run
         WHERE namespace = %(namespace)s
           AND queue = %(queue)s
           AND state = 'running'
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
        self.wait_for_lock(namespace, [queue])
        [[running]] = self.fetch(self.COUNT, {"namespace": namespace, "queue": queue})
        claims = self.claim(
            namespace,
            queue,
            worker=worker,
            limit=room.left(running),
            lease_seconds=lease_seconds,
            bounds=bounds,
        )
        return claims, len(claims) >= room.wanted + room.ahead
