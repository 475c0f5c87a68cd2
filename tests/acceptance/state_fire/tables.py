"""Tables of an org's records: as the org has them, as its state topics have them, as its changes add up.

Nothing here knows how Streamer keeps states. The form of the records is in the docs.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamer.sandbox import Sandbox

Table = dict[str, dict[str, Any]]
"""The fields of each record that are not empty, by id. Deleted records are left out."""

PLACES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Account": {
        "Name": ("Name",),
        "Phone": ("Phone",),
        "Description": ("Description",),
        "AnnualRevenue": ("AnnualRevenue",),
        "BillingCity": ("BillingAddress", "City"),
        "BillingCountry": ("BillingAddress", "Country"),
    },
    "Contact": {
        "LastName": ("Name", "LastName"),
        "FirstName": ("Name", "FirstName"),
        "Phone": ("Phone",),
        "Description": ("Description",),
    },
}
"""The compared fields of each object, and where records in Kafka have them."""
COUNTER = "Description"
"""Field in which the org counts the changes of a record."""

_READ_S = 0.2
_LOOK_S = 2.0
_ANSWER_S = 10.0
_PAGE = 500
_SHOWN = 5


def of_org(sandbox: Sandbox, entity: str) -> Table:
    """Return the records that the org has now."""
    org = sandbox.org
    return {
        record["Id"]: {name: record[name] for name in PLACES[entity] if record.get(name) is not None}
        for record in org.records.all(org.schema.entity(entity))
        if not record["IsDeleted"]
    }


def compared(entity: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the compared fields of a record in Kafka that are not empty."""
    found: dict[str, Any] = {}
    for name, place in PLACES[entity].items():
        value: Any = fields
        for key in place:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            found[name] = value
    return found


def differences(expected: Table, found: Table) -> list[str]:
    """Return a sentence about each record that differs."""
    ids = [each for each in expected.keys() | found.keys() if expected.get(each) != found.get(each)]
    lines = [f"{each}: {found.get(each)} in place of {expected.get(each)}" for each in sorted(ids)[:_SHOWN]]
    return [*lines, f"and {len(ids) - _SHOWN} more records"] if len(ids) > _SHOWN else lines


@dataclass(slots=True)
class StateTopic:
    """Reading of one state topic: the table so far, and each mistake on the way.

    `envelope` is the form of the values, as `log.kafka.state_envelope` names it.
    """

    entity: str
    envelope: str
    table: Table = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    count: int = 0
    _last: dict[str, Any] = field(default_factory=dict)
    _partitions: dict[str, int | None] = field(default_factory=dict)

    def add(self, record: Message) -> None:
        """Read one record: a state, or a tombstone."""
        self.count += 1
        key = (record.key() or b"").decode()
        place = _place(record)
        value = orjson.loads(text) if (text := record.value()) is not None else None
        if self._partitions.setdefault(key, record.partition()) != record.partition():
            self.mistakes.append(f"{place}: {key} was in partition {self._partitions[key]} before")
        former = self._last.get(key)
        if key in self._last and value == former:
            self.mistakes.append(f"{place}: {key} twice in a row")
        self._last[key] = value
        if value is None:
            self.table.pop(key, None)
            return
        entity, record_id, fields = self._parts(value)
        if former is not None:
            self._compare(place, former, value)
        if (entity, record_id) != (self.entity, key):
            self.mistakes.append(f"{place}: the value is of {entity} {record_id}")
        if fields is None:
            self.table.pop(key, None)
        else:
            self.table[key] = compared(self.entity, fields)

    def _parts(self, value: Any) -> tuple[str, str, Any]:
        """Return the object, the record id and the fields of a value; a deletion has no fields."""
        match self.envelope:
            case "streamer":
                return value["entity"], value["record_id"], value["fields"]
            case "flat":
                return value["entity"], value["record_id"], value
            case _:
                some = value["before"] or value["after"]
                return value["source"]["table"], some["record_id"], value["after"]

    def _compare(self, place: str, former: Any, value: Any) -> None:
        before, after = (self._number(each) for each in (former, value))
        if after < before:
            self.mistakes.append(f"{place}: change {after} after change {before}")
        first, second = (each.get("source", each).get("commit_number") for each in (former, value))
        if first is not None and second is not None and second < first:
            self.mistakes.append(f"{place}: commit {second} after commit {first}")
        if (stated := value.get("before")) is not None and _number(stated.get(COUNTER)) < before:
            self.mistakes.append(f"{place}: the record before this change is older than change {before}")

    def _number(self, value: Any) -> int:
        """Return the number of the change after which the record was so."""
        fields = self._parts(value)[2]
        return _number((value["before"] if fields is None else fields).get(COUNTER))


@dataclass(slots=True)
class ChangeTopics:
    """The change events of one object, which add up to a table in the order of their commits."""

    entity: str
    mistakes: list[str] = field(default_factory=list)
    count: int = 0
    _events: dict[str, tuple[tuple[int, int], str, str, Mapping[str, Any]]] = field(default_factory=dict)

    def add(self, record: Message) -> None:
        """Read one event. Rows of snapshots are passed over, because a row is not a change."""
        self.count += 1
        if (value := record.value()) is None:
            return
        data = orjson.loads(value)
        if "transaction" not in data or data.get("record_id") is None:
            return
        headers: Any = dict(record.headers() or ())
        event_id = headers["ce_id"].decode()
        if event_id in self._events:
            self.mistakes.append(f"{_place(record)}: {event_id} twice")
        order = data["transaction"]["commit_number"], data["transaction"]["sequence"]
        self._events[event_id] = order, data["change"], data["record_id"], data["fields"]

    @property
    def table(self) -> Table:
        """The records after all changes."""
        whole: dict[str, dict[str, Any]] = {}
        for _, change, record_id, fields in sorted(self._events.values(), key=lambda each: each[0]):
            match change:
                case "CREATE" | "UNDELETE":
                    whole[record_id] = dict(fields)
                case "DELETE":
                    whole.pop(record_id, None)
                case "UPDATE" if record_id in whole:
                    _merge(whole[record_id], fields)
                case _:
                    self.mistakes.append(f"{change} of {record_id}, which did not exist")
        return {each: compared(self.entity, fields) for each, fields in whole.items()}


Topics = Mapping[str, StateTopic | ChangeTopics]


@asynccontextmanager
async def reading(address: str, topics: Topics) -> AsyncIterator[None]:
    """Read topics along, all partitions that they get, as far as transactions have ended."""
    task = asyncio.create_task(_read(address, topics))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def read_whole(address: str, topics: Topics) -> None:
    """Read topics once, from their beginnings to the ends that they have now."""
    async with _consumer(address) as consumer:
        places = await _places(consumer, topics)
        consumer.assign(places)
        left = {
            (place.topic, place.partition)
            for place in places
            if (await asyncio.to_thread(consumer.get_watermark_offsets, place, _ANSWER_S))[1]
        }
        while left:
            for message in await asyncio.to_thread(consumer.consume, _PAGE, _READ_S):
                failure, topic = message.error(), str(message.topic())
                if failure is None:
                    topics[topic].add(message)
                elif failure.code() == KafkaError._PARTITION_EOF:
                    left.discard((topic, int(message.partition() or 0)))


async def _read(address: str, topics: Topics) -> None:
    """Read along, also topics and partitions that are new."""
    clock = asyncio.get_running_loop()
    async with _consumer(address) as consumer:
        known: set[tuple[str, int]] = set()
        look_at = 0.0
        while True:
            if clock.time() >= look_at:
                look_at = clock.time() + _LOOK_S
                with suppress(KafkaException):
                    places = [
                        each
                        for each in await _places(consumer, topics)
                        if (each.topic, each.partition) not in known
                    ]
                    consumer.incremental_assign(places)
                    known |= {(each.topic, each.partition) for each in places}
            for message in await asyncio.to_thread(consumer.consume, _PAGE, _READ_S):
                if message.error() is None:
                    topics[str(message.topic())].add(message)


async def _places(consumer: Consumer, topics: Topics) -> list[TopicPartition]:
    """Return the beginnings of all partitions of those topics that exist."""
    known = (await asyncio.to_thread(consumer.list_topics, timeout=_ANSWER_S)).topics
    return [
        TopicPartition(topic, number, OFFSET_BEGINNING)
        for topic in topics.keys() & known.keys()
        for number in known[topic].partitions
    ]


@asynccontextmanager
async def _consumer(address: str) -> AsyncIterator[Consumer]:
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "judge",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            # Brokers are away for a while in every second trial.
            "log_level": 0,
            "error_cb": lambda _: None,
        }
    )
    try:
        yield consumer
    finally:
        await asyncio.to_thread(consumer.close)


def _merge(whole: dict[str, Any], fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        former = whole.get(name)
        # An update of an address has only the parts that changed.
        whole[name] = {**former, **value} if isinstance(value, dict) and isinstance(former, dict) else value


def _place(record: Message) -> str:
    return f"{record.topic()}[{record.partition()}]@{record.offset()}"


def _number(text: str | None) -> int:
    return int(text.rpartition(" ")[2]) if text else 0


def complaints(name: str, mistakes: Sequence[str]) -> Iterator[str]:
    """Yield the first mistakes, with the name of the topic's reader."""
    for mistake in mistakes[:_SHOWN]:
        yield f"{name}: {mistake}"
