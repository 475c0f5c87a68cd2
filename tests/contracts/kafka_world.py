"""A log in a real Kafka, with a prefix for one test."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, closing
from pathlib import Path
from typing import Any, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from streamer.clock import SystemClock
from streamer.events import ContinuityRecord, DeadLetter, Event, Receipt
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import Headers
from streamer.log.kafka.history.history import KafkaHistory
from streamer.log.kafka.log import KafkaLog
from streamer.log.records import decode_continuity, decode_dead_letter, decode_receipt
from streamer.ports import EventHistory
from streamer.settings import KafkaLogSettings
from tests.contracts.values import an_event
from tests.schemas import RECORDS, CheckedTopics
from tests.waiting import LIMIT_S

_DEADLINE_S = 60.0

Place = tuple[str, int]
"""A topic, and the number of one of its partitions."""


class KafkaWorld:
    """Topics of our own on a broker that other tests use too."""

    def __init__(self, address: str, folder: Path) -> None:
        """Choose an unused prefix; local copies of states are in `folder`."""
        unique = uuid.uuid4().hex[:8]
        self.prefix = f"test-{unique}"
        self._settings = KafkaLogSettings(
            bootstrap_servers=address,
            prefix=self.prefix,
            topic=f"t{unique}.{{kind}}.{{name}}",
            state_topic=f"t{unique}.state.{{name}}",
            state_directory=folder,
            partitions=2,
            # A new topic is found this fast.
            options={"topic.metadata.refresh.interval.ms": 250},
        )
        self._names = Names.of(self._settings)

    def open(self) -> AbstractAsyncContextManager[KafkaLog]:
        """Connect."""
        return KafkaLog.open(self._settings, SystemClock())

    def history(self) -> AbstractAsyncContextManager[EventHistory]:
        """Read the topics without a group."""
        return KafkaHistory.open(self._settings)

    def refused_event(self) -> Event:
        """Return an event that is larger than a topic takes."""
        return an_event("refused", data={"entity": "Account", "fields": {"Name": "x" * 5 * 1024 * 1024}})

    async def dead_letters(self) -> Sequence[DeadLetter]:
        """Return the committed dead letters."""
        return read_dead_letters(self._settings.bootstrap_servers, self._names.dead_letters)

    async def continuity(self) -> Sequence[ContinuityRecord]:
        """Return the committed continuity records."""
        messages = read_committed(self._settings.bootstrap_servers, self._names.continuity)
        return [decode_continuity(message.value() or b"") for message in messages]

    async def receipts(self) -> Sequence[Receipt]:
        """Return the committed receipts."""
        address, topic = self._settings.bootstrap_servers, self._names.receipts
        messages = read_committed(address, topic, self._settings.partitions)
        return [decode_receipt(message.value() or b"") for message in messages]


class KafkaWorlds:
    """The worlds of all tests on one broker."""

    def __init__(self, address: str) -> None:
        """Make them at `address`."""
        self._address = address
        self._worlds: list[KafkaWorld] = []

    def new(self, folder: Path) -> KafkaWorld:
        """Return a world of a test's own."""
        self._worlds.append(KafkaWorld(self._address, folder))
        return self._worlds[-1]

    def checked(self) -> CheckedTopics:
        """Check the records beside events, whose form no test has invented, with one reader."""
        checked = CheckedTopics()
        prefixes = {world.prefix for world in self._worlds}
        for message in read_committed_of(self._address, prefixes, RECORDS):
            topic = str(message.topic()).rpartition(".")[2]
            checked.record_of(topic, message.value(), cast("Headers", message.headers() or ()))
        return checked


def read_dead_letters(address: str, topic: str) -> list[DeadLetter]:
    """Return the dead letters, the latest of each id, joined from their chunks."""
    latest = {message.key(): message for message in read_committed(address, topic)}
    parts: dict[bytes, dict[int, bytes]] = defaultdict(dict)
    counts: dict[bytes, int] = {}
    for message in latest.values():
        if (value := message.value()) is not None:
            about = dict(cast("Headers", message.headers()))
            parts[about["id"]][int(about["part"])] = value
            counts[about["id"]] = int(about["parts"])
    return [
        decode_dead_letter(b"".join(found[number] for number in range(counts[id_])))
        for id_, found in parts.items()
        if found.keys() >= set(range(counts[id_]))
    ]


def read_committed(address: str, topic: str, partitions: int = 1) -> list[Message]:
    """Return the committed records of a topic of so many partitions.

    A transaction is visible a moment after its commit was answered, so this
    reads on to the end that a `read_uncommitted` reader sees.
    """
    return _read(address, [(topic, number) for number in range(partitions)])


def read_committed_of(address: str, prefixes: Collection[str], names: Collection[str]) -> list[Message]:
    """Return the committed records of the topics `PREFIX.NAME` that there are."""
    with _reader(address, "read_committed") as reader:
        topics = reader.list_topics(timeout=LIMIT_S).topics
    places = [
        (name, number)
        for name, topic in topics.items()
        if name.rpartition(".")[0] in prefixes and name.rpartition(".")[2] in names
        for number in topic.partitions
    ]
    return _read(address, places)


def _read(address: str, places: Sequence[Place]) -> list[Message]:
    with _reader(address, "read_uncommitted") as everything:
        ends = {
            place: everything.get_watermark_offsets(TopicPartition(*place), _DEADLINE_S)[1]
            for place in places
        }
    with _reader(address, "read_committed") as reader:
        reader.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in places])
        return list(_until(ends, reader))


def _reader(address: str, isolation: str) -> AbstractContextManager[Consumer]:
    configuration: dict[str, Any] = {
        "bootstrap.servers": address,
        "group.id": "unused",
        "isolation.level": isolation,
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 10,
    }
    return closing(Consumer(configuration))


def _until(ends: dict[Place, int], reader: Consumer) -> Iterator[Message]:
    while ends:
        message = reader.poll(_DEADLINE_S)
        assert message is not None
        place = str(message.topic()), message.partition() or 0
        if message.error() is None:
            yield message
        elif (message.offset() or 0) >= ends.get(place, 0):
            ends.pop(place, None)
