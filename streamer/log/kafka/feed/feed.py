"""Feed of one subscriber from the Kafka log."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from streamer.events import Entry, Partition
from streamer.log.kafka.feed.buffer import FeedBuffer
from streamer.log.kafka.feed.consumer_thread import ConsumerThread
from streamer.log.kafka.feed.context import LogContext
from streamer.log.kafka.schemas.state_schemas import StateSchemaMissing, StateSchemas
from streamer.ports import Assigned, Page, Recorded, Revoked, Settlement, Subscription

Recalling = Callable[[Partition, Sequence[int]], Awaitable[Sequence[Entry]]]
"""Function that returns parked events, with the contract of `Feed.recall`."""


class KafkaFeed:
    """Pages of one subscriber; its own thread reads them."""

    def __init__(self, buffer: FeedBuffer, recall: Recalling, schemas: StateSchemas | None = None) -> None:
        """Take pages from `buffer`; `recall` returns parked events, `schemas` has the schemas of states."""
        self._buffer = buffer
        self._recall = recall
        self._schemas = schemas

    async def read(self) -> Assigned | Revoked | Page:
        """Wait for the next page or change of assignment, and return it."""
        while True:
            if (taken := self._buffer.take()) is not None:
                return taken
            await self._buffer.filled()

    def pause(self, partitions: frozenset[Partition]) -> None:
        """Stop reading these partitions until they are resumed or revoked."""
        self._buffer.pause(partitions)

    def resume(self, partitions: frozenset[Partition]) -> None:
        """Undo `pause`."""
        self._buffer.resume(partitions)

    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Record progress, the records of this progress, and the dead letters of unreadable records."""
        if self._schemas is None or not settlement.states:
            return await self._buffer.ask(settlement)
        while True:
            try:
                recorded = await self._buffer.ask(settlement)
            except StateSchemaMissing as missing:
                # The thread must not wait for the registry, because it answers the group.
                await self._schemas.resolve(missing)
            else:
                self._schemas.forget_missing()
                return recorded

    async def recall(self, partition: Partition, offsets: Sequence[int]) -> Sequence[Entry]:
        """Return parked events of an assigned partition."""
        return await self._recall(partition, offsets)


@asynccontextmanager
async def follow(log_context: LogContext, subscription: Subscription) -> AsyncIterator[KafkaFeed]:
    """Open the feed of one subscriber in its consumer group, and leave the group at the end.

    When the feed is open, the first offsets of a new subscriber are committed, and
    the topic of its parked events exists. Streamer's other topics must exist
    before. Raises `LogUnavailable`, `LogMisconfigured`, `CredentialsRefused`.
    """
    buffer = FeedBuffer()
    follower = ConsumerThread(log_context, subscription, buffer)
    try:
        await follower.start()
        schemas = log_context.states.schemas if subscription.states else None
        yield KafkaFeed(buffer, follower.recall, schemas)
    finally:
        await follower.stop()
