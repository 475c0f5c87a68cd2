"""The partitions that are ours, and of which we don't know yet what is parked."""

from collections.abc import Iterable, Mapping

from streamer.events import Partition, Progress
from streamer.log.kafka.cluster.bounded_reader import Sweep
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import Faults
from streamer.log.kafka.cluster.retry import Patience
from streamer.log.kafka.parked.restoration import Restoration, Restored
from streamer.log.kafka.records.parked import ParkedTopic
from streamer.log.kafka.topics.admin import Administrator


class Restorations:
    """Restores partitions beside whatever else a member does, those of each assignment by themselves."""

    def __init__(
        self, clients: Clients, administrator: Administrator, topic: ParkedTopic, patience: Patience
    ) -> None:
        """Restore nothing yet."""
        self._clients = clients
        self._administrator = administrator
        self._topic = topic
        self._patience = patience
        self._faults = Faults(clients.settings)
        self._under_way: list[Restoration] = []

    def begin(self, progress: Mapping[Partition, Progress]) -> None:
        """Begin to restore partitions, whose committed offsets must have been read before.

        An offset is not told while a transaction that moves it is open. So
        what a former owner has parked lies below the ends that are looked up
        now, though perhaps still undecided. Raises `KafkaException`.
        """
        homes = {self._topic.home(partition) for partition in progress}
        stretches = self._patience.insist(self._administrator.bounds, self._topic.name, homes)
        sweep = None
        if any(begin < end for begin, end in stretches.values()):
            sweep = Sweep(self._clients, self._faults, self._topic.name, stretches)
        self._under_way.append(Restoration(sweep, progress))

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
