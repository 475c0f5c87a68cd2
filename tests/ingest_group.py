"""Kafka's view of the processes that share one org's channels."""

import asyncio
from contextlib import suppress

from confluent_kafka import ConsumerGroupState, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined] # public, but not marked so

_ANSWER_S = 10.0


class IngestGroup:
    """The group and the checkpoints of one prefix, as the broker's administrators see them."""

    def __init__(self, kafka: str, *, prefix: str) -> None:
        """Ask the broker at `kafka`."""
        self._admin = AdminClient({"bootstrap.servers": kafka})
        self._group = f"{prefix}.ingest"
        self._checkpoints = f"{prefix}.checkpoints"

    async def is_shared_by(self, processes: int) -> bool:
        """Tell whether so many processes have a share each, and nothing is being moved between them."""
        with suppress(KafkaException):
            asked = self._admin.describe_consumer_groups([self._group], request_timeout=_ANSWER_S)
            group = await asyncio.wrap_future(asked[self._group])
            shares = [len(member.assignment.topic_partitions) for member in group.members]
            return group.state is ConsumerGroupState.STABLE and len(shares) == processes and all(shares)
        return False

    async def has_open_transaction(self) -> bool:
        """Tell whether a transaction that moves a checkpoint was begun and not ended.

        Where the broker does not answer in time, none is known of.
        """
        with suppress(KafkaException):
            decided = await self._end(IsolationLevel.READ_COMMITTED)
            return decided < await self._end(IsolationLevel.READ_UNCOMMITTED)
        return False

    async def _end(self, isolation: IsolationLevel) -> int:
        """Return the sum of the partitions' ends: no end goes back."""
        topic = (await asyncio.to_thread(self._admin.list_topics, self._checkpoints, _ANSWER_S)).topics
        asked = self._admin.list_offsets(
            {
                TopicPartition(self._checkpoints, number): OffsetSpec.latest()
                for number in topic[self._checkpoints].partitions
            },
            isolation_level=isolation,
            request_timeout=_ANSWER_S,
        )
        return sum([(await asyncio.wrap_future(answer)).offset for answer in asked.values()])
