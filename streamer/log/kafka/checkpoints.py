"""The channels' checkpoints, as one partition of a compacted topic."""

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamer.clock import Clock
from streamer.events import Channel, Checkpoint
from streamer.log.kafka.clients import Clients
from streamer.log.kafka.encoding import Record
from streamer.log.kafka.faults import Faults
from streamer.log.kafka.murmur import partition_of
from streamer.log.kafka.names import Names
from streamer.log.records import decode_checkpoint, encode_checkpoint

_PAGE = 1_000
_POLL_S = 0.2


class Checkpoints:
    """Places channels on partitions, and reads and writes what is kept of them."""

    def __init__(self, clients: Clients, clock: Clock) -> None:
        """Read with consumers of `clients`, one for each time."""
        self._clients = clients
        self._clock = clock
        self._names = Names.of(clients.settings)
        self._partitions = clients.settings.checkpoint_partitions

    def partition_of(self, channel: Channel) -> int:
        """Return where `channel` is kept: the same number in every process and version."""
        return partition_of(str(channel).encode(), self._partitions)

    def record(self, checkpoint: Checkpoint) -> Record:
        """Return what replaces the channel's former checkpoint."""
        return Record(
            topic=self._names.checkpoints,
            value=encode_checkpoint(checkpoint),
            key=str(checkpoint.channel).encode(),
            partition=self.partition_of(checkpoint.channel),
            headers=[("content-type", b"application/json")],
        )

    def read(self, partition: int, faults: Faults, deadline: float) -> dict[Channel, Checkpoint]:
        """Return the committed checkpoints of a partition, by channel. Blocking.

        They are certain only when `init_transactions` of the partition's
        transactional id came before. Raises `KafkaException`,
        `LogMisconfigured` for a record that is no checkpoint.
        """
        consumer = self._clients.consumer(faults, self._configuration())
        try:
            consumer.assign([TopicPartition(self._names.checkpoints, partition, OFFSET_BEGINNING)])
            return self._read_to_end(consumer, deadline)
        finally:
            consumer.close()

    def _configuration(self) -> dict[str, object]:
        return {
            # It joins no group: assigning by hand only asks for some name.
            "group.id": self._names.ingest_group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 50,
        }

    def _read_to_end(self, consumer: Consumer, deadline: float) -> dict[Channel, Checkpoint]:
        newest: dict[Channel, Checkpoint] = {}
        while self._clock.monotonic() < deadline:
            for message in consumer.consume(_PAGE, _POLL_S):
                error = message.error()
                if error is None:
                    _keep(message, newest)
                elif error.code() == KafkaError._PARTITION_EOF:
                    return newest
                else:
                    raise KafkaException(error)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def _keep(message: Message, newest: dict[Channel, Checkpoint]) -> None:
    value = message.value()
    if value is not None:
        checkpoint = decode_checkpoint(value)
        newest[checkpoint.channel] = checkpoint
