"""The least code that can read a channel over the Pub/Sub API: grpc.aio, fastavro and orjson.

`python -m tests.bench.ingest.pubsub_probe URL ENDPOINT` receives all changes of the
org at URL, decodes each change and converts it to JSON, until it is interrupted. It
writes nothing, checks nothing and repairs nothing.

With `COUNT KAFKA PREFIX`, it also writes the same records as Streamer. Each
transaction contains the events of a quarter of a second, and the last transaction
ends with event COUNT.
"""

import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any, Protocol

import aiohttp
import fastavro
import grpc
import orjson

from streamer.eventbus import ConsumerEvent, FetchRequest, ReplayPreset, SchemaRequest
from streamer.eventbus.calls import GET_SCHEMA, SUBSCRIBE
from tests.bench.ingest.probe_process import logged_in, run
from tests.bench.ingest.probe_records import CHANNEL, ProbeRecords, time_text

_CREDIT = 100
_TRANSACTION_S = 0.25
_TIMES = ("CreatedDate", "LastModifiedDate")

Datum = dict[str, Any]
Metadata = tuple[tuple[str, str], ...]


class Use(Protocol):
    """Use that a probe makes of the events."""

    def take(self, datum: Datum, event: ConsumerEvent) -> None:
        """Take an event's `datum`."""

    def end_answer(self) -> None:
        """Note that an answer was taken whole."""


class Dumped:
    """Makes JSON of each event."""

    def take(self, datum: Datum, event: ConsumerEvent) -> None:  # noqa: ARG002 - as in `Use`
        """Make it."""
        orjson.dumps(datum)

    def end_answer(self) -> None:
        """Do nothing."""


class Written:
    """Writes the records of each event."""

    def __init__(self, records: ProbeRecords, count: int) -> None:
        """Write so many events; the last one ends a transaction."""
        self._records = records
        self._left = count
        self._began: float | None = None
        self._changed: dict[tuple[Any, ...], list[str]] = {}
        self._last: tuple[Datum, str] = {}, ""
        self._before = ""

    def take(self, datum: Datum, event: ConsumerEvent) -> None:
        """Produce the records of one."""
        if self._began is None:
            self._began = time.monotonic()
            self._records.begin()
        header = datum["ChangeEventHeader"]
        bitmaps = (len(datum), *header["changedFields"])
        changed = self._changed.get(bitmaps)
        if changed is None:
            changed = self._changed[bitmaps] = _names(datum)
        header["changedFields"] = changed
        del datum["ChangeEventHeader"]
        fields: Datum = {
            name: _parts(value) if type(value) is dict else value
            for name, value in datum.items()
            if value is not None
        }
        for name in _TIMES:
            if name in fields:
                fields[name] = time_text(fields[name])
        replay_id = "base64:" + b64encode(event.replay_id).decode()
        self._records.produce(header, fields, replay_id)
        self._before = self._last[1]
        self._last = header, replay_id
        self._left -= 1

    def end_answer(self) -> None:
        """Commit when it is time."""
        if self._began is None:
            return
        if not self._left or time.monotonic() - self._began > _TRANSACTION_S:
            self._began = None
            self._records.commit(*self._last, self._before)


def _parts(compound: Datum) -> Datum:
    """Return the parts of a compound field that have a value."""
    return {name: value for name, value in compound.items() if value is not None}


def _names(datum: Datum) -> list[str]:
    """Return the fields that one bitmap stands for; the org changes no parts of compound fields here."""
    bits = int("".join(datum["ChangeEventHeader"]["changedFields"]) or "0", 16)
    return [name for index, name in enumerate(datum) if bits >> index & 1]


class Connection:
    """The calls of the Pub/Sub API."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata) -> None:
        """Make them with `metadata`."""
        self._metadata = metadata
        self._subscribe = channel.stream_stream(
            SUBSCRIBE.path,
            request_serializer=SUBSCRIBE.request.SerializeToString,
            response_deserializer=SUBSCRIBE.response.FromString,
        )
        self._schema = channel.unary_unary(
            GET_SCHEMA.path,
            request_serializer=GET_SCHEMA.request.SerializeToString,
            response_deserializer=GET_SCHEMA.response.FromString,
        )

    async def answers(self) -> AsyncIterator[Any]:
        """Yield the events of each answer from the channel's beginning; ask for all the credit each time."""
        call = self._subscribe(None, metadata=self._metadata)
        more = FetchRequest(topic_name=CHANNEL, num_requested=_CREDIT)
        first = FetchRequest(topic_name=CHANNEL, num_requested=_CREDIT, replay_preset=ReplayPreset.EARLIEST)
        await call.write(first)
        async for answer in call:
            await call.write(more)
            yield answer.events

    async def schema(self, schema_id: str) -> Any:
        """Return a schema, parsed."""
        info = await self._schema(SchemaRequest(schema_id=schema_id), metadata=self._metadata)
        return fastavro.parse_schema(orjson.loads(info.schema_json))


async def drain(url: str, endpoint: str, *written: str) -> None:
    """Take what comes from the channel's beginning."""
    async with aiohttp.ClientSession() as http:
        token, org = await logged_in(http, url)
    use: Use = Dumped()
    if written:
        count, kafka, prefix = written
        use = Written(ProbeRecords(kafka, prefix, org), int(count))
    metadata = (("accesstoken", token), ("instanceurl", url), ("tenantid", org))
    schemas: dict[str, Any] = {}
    async with grpc.aio.insecure_channel(endpoint) as channel:
        connection = Connection(channel, metadata)
        async for events in connection.answers():
            for event in events:
                sent = event.event
                schema = schemas.get(sent.schema_id)
                if schema is None:
                    schema = schemas[sent.schema_id] = await connection.schema(sent.schema_id)
                datum: Any = fastavro.schemaless_reader(BytesIO(sent.payload), schema, None)
                use.take(datum, event)
            use.end_answer()


if __name__ == "__main__":
    run(drain(*sys.argv[1:]))
