"""The partitions that are ours, and of which we don't know yet what is parked."""

from collections.abc import Iterable, Mapping

from streamer.events import Partition, Progress
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.retry import RetryPolicy
from streamer.log.kafka.parked.restoration import Restoration, Restored
from streamer.log.kafka.records.parked import ParkedTopic
from streamer.log.kafka.topics.admin import KafkaAdmin


class Restorations:
    """Restores partitions beside whatever else a member does, those of each assignment by themselves."""

    def __init__(self, clients: Clients, admin: KafkaAdmin, topic: ParkedTopic, retry: RetryPolicy) -> None:
        """Restore nothing yet."""
        self._clients = clients
        self._admin = admin
        self._topic = topic
        self._retry = retry
        self._errors = KafkaErrors(clients.settings)
        self._under_way: list[Restoration] = []

    def begin(self, progress: Mapping[Partition, Progress]) -> None:
        """Begin to restore partitions, whose committed offsets must have been read before.

        An offset is not told while a transaction that moves it is open. So
        what a former owner has parked lies below the ends that are looked up
        now, though perhaps still undecided. Raises `KafkaException`.
        """
        homes = {self._topic.home(partition) for partition in progress}
        read_ranges = self._retry.call(self._admin.bounds, self._topic.name, homes)
        reader = None
        if any(begin < end for begin, end in read_ranges.values()):
            reader = BoundedReader(self._clients, self._errors, self._topic.name, read_ranges)
        self._under_way.append(Restoration(reader, progress))

    def __contains__(self, partition: Partition) -> bool:
        """Whether `partition` is being restored."""
        return any(partition in each.partitions for each in self._under_way)

    def __bool__(self) -> bool:
        """Whether anything is being restored."""
        return bool(self._under_way)

    def step(self) -> list[Restored]:
        """Read on for a moment; return the partitions that are complete.

        Raises `KafkaException`, `LogUnavailable`, `LogMisconfigured`.
        """
        done = [each for each in self._under_way if each.step()]
        self._under_way = [each for each in self._under_way if each not in done]
        return [restored for each in done for restored in each.restored()]

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Forget partitions that were taken from us."""
        gone = frozenset(partitions)
        for each in self._under_way:
            each.drop(gone)

    def abandon(self) -> None:
        """Forget everything."""
        for each in self._under_way:
            each.close()
        self._under_way = []
