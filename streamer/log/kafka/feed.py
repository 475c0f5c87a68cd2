"""One subscriber's place in the Kafka log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streamer.clock import Clock
from streamer.events import Partition
from streamer.log.kafka.clients import Clients
from streamer.log.kafka.follower import Follower
from streamer.log.kafka.handover import Handover
from streamer.log.kafka.retention import OnHole, forget
from streamer.ports import Assigned, Page, Recorded, Revoked, Settlement, Subscription
from streamer.pulse import Pulses


class KafkaFeed:
    """What a thread of its own reads for one subscriber, page by page."""

    def __init__(self, handover: Handover) -> None:
        """Take what is handed over."""
        self._handover = handover

    async def read(self) -> Assigned | Revoked | Page:
        """Wait for the next page or change of assignment."""
        while True:
            if (taken := self._handover.take()) is not None:
                return taken
            await self._handover.filled()

    def pause(self, partitions: frozenset[Partition]) -> None:
        """Read nothing of these partitions until they are resumed or revoked."""
        self._handover.pause(partitions)

    def resume(self, partitions: frozenset[Partition]) -> None:
        """Undo `pause`."""
        self._handover.resume(partitions)

    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Record progress and dead letters; records that hold no event are set aside with it."""
        return await self._handover.ask(settlement)


@asynccontextmanager
async def follow(
    clients: Clients,
    subscription: Subscription,
    clock: Clock,
    on_hole: OnHole = forget,
    *,
    pulses: Pulses | None = None,
) -> AsyncIterator[KafkaFeed]:
    """Open the place of one subscriber in its consumer group, and leave the group in the end.

    Where a new subscriber begins is settled when this returns. The topics that
    are Streamer's own must exist. Raises `LogUnavailable`, `LogMisconfigured`,
    `CredentialsRefused`.
    """
    handover = Handover()
    follower = Follower(clients, subscription, clock, handover, on_hole, pulses or Pulses(clock))
    try:
        await follower.start()
        yield KafkaFeed(handover)
    finally:
        await follower.stop()
