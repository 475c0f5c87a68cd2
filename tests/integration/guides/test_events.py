"""docs/events.md describes the records that the log writes."""

import asyncio
import re
import subprocess
import sys
from uuid import uuid4

import orjson

from streamer.clock import SystemClock
from streamer.continuity.letter_redrives import LetterDecoder
from streamer.events import Checkpoint, DeadLetter, Event, ReplayId, Stage
from streamer.ingest.reading.large_texts import LargeTexts, TextCache
from streamer.ingest.reading.rereading import Rereading
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.log import KafkaLog
from streamer.log.kafka.records.events import EventEncoder
from streamer.normalise import normaliser_for
from streamer.normalise.record_events import OrgRecord, SnapshotRead, recovered_event, snapshot_event
from streamer.observe.metrics import Metrics
from streamer.salesforce.memory import MemoryRecords
from streamer.salesforce.outbound.envelope import parse_envelope
from streamer.settings import KafkaLogSettings
from tests.contracts.values import Append, append_to
from tests.integration.guides.pages import block, page
from tests.messages import CHANGES, change, events_of
from tests.outbound import LEADS, envelope, notification
from tests.waiting import awaited

GUIDE = page("docs/events.md")


async def test_consumer_prints_what_is_in_the_topic(kafka: str) -> None:
    """The example reads what the log committed, on a real Kafka."""
    topic = f"readme.{uuid4().hex[:8]}.{{name}}"
    settings = KafkaLogSettings(bootstrap_servers=kafka, prefix=f"readme-{uuid4().hex[:8]}", topic=topic)
    event = events_of(normaliser_for(CHANGES), change(1, "001A", Phone="1"))[0]
    async with KafkaLog.open(settings, SystemClock()) as log:
        checkpoint = Checkpoint(channel=CHANGES, replay_id=event.replay_id, verified_at=0)
        await append_to(log, Append(checkpoint=checkpoint, events=[event]))
    example = block(GUIDE, "python").replace("localhost:9092", kafka).replace("my-service", uuid4().hex)
    example = example.replace("salesforce.cdc.Account", topic.format(name="Account"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-c", example, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = (await awaited(process.stdout.readline())).decode().strip()
    finally:
        process.kill()
        await process.wait()

    assert line == "salesforce.cdc.Account.updated 001A ['Phone'] {'Phone': '1'}"


def test_reader_is_told_what_to_install_before_the_code() -> None:
    """Aiokafka without the extra of our compression fails at the first record."""
    compression = KafkaLogSettings(bootstrap_servers="localhost").compression

    assert f"$ pip install 'aiokafka[{compression}]'" in GUIDE.partition("```python")[0]
    assert "from aiokafka import AIOKafkaConsumer" in block(GUIDE, "python")


async def test_headers_and_data_are_those_of_the_guide() -> None:
    """The two tables name every header and every key of a change event, and no other."""
    event, read = await _event_with_every_key(), [*_events_that_were_read(), await _redriven_event()]
    settings = KafkaLogSettings(bootstrap_servers="nowhere:9092")
    record = EventEncoder(Names.of(settings), "binary", lambda _: "00-…-01").encode(event, 2**42)
    headers, data = GUIDE.split("## The headers")[1].split("## The data of a change event")
    data = data.partition("## The data of other events")[0]

    assert _first_column(headers) == set(record.headers)
    assert _first_column(data) == set(event.data).union(*(each.data for each in read))


def _events_that_were_read() -> list[Event]:
    """Return the event of a snapshot, and that of a record behind a gap event."""
    record_id = "001AB00000TEST1YAA"
    record = OrgRecord(entity="Account", id=record_id, fields={"Phone": "1"})
    read = SnapshotRead(snapshot="snapshot:7", channel=CHANGES, position=ReplayId(b"7"), read_at=0.0)
    [gap] = events_of(normaliser_for(CHANGES), change(1, record_id, kind="GAP_UPDATE"))
    return [snapshot_event(record, read), recovered_event(gap, record, read_at=0.0)]


async def _redriven_event() -> Event:
    """Return the event of a dead letter that can be read today."""
    letter = DeadLetter(
        id="7",
        stage=Stage.INGEST,
        channel=str(CHANGES),
        reason="unreadable",
        error="",
        hint="",
        failed_at=0.0,
        first_failed_at=0.0,
        replay_id=ReplayId(b"7"),
        raw=orjson.dumps(change(7)),
    )
    decoder = LetterDecoder(
        channel=CHANGES,
        normalise=normaliser_for(CHANGES),
        unsealed=lambda each: each.raw,
        clock=SystemClock(),
    )
    [event] = await decoder.events(letter)
    return event


async def _event_with_every_key() -> Event:
    """Return an event with a text that was read again, and one that is still a diff."""
    diff, clock = {"diff": "--- "}, SystemClock()
    records = MemoryRecords({"Account": {"001A": {"A": "x", "LastModifiedDate": "2025-01-01T00:00:00Z"}}})
    texts = LargeTexts(
        cache=TextCache(0),
        clock=clock,
        observer=Metrics(clock=clock).channel(CHANGES),
        rereading=Rereading(channel=CHANGES, records=records, clock=clock),
    )
    [event] = await texts.completed(events_of(normaliser_for(CHANGES), change(1, "001A", A=diff, B=diff)))
    return event


def test_data_of_an_outbound_message_are_those_of_the_guide() -> None:
    """Every key, and no other."""
    message = parse_envelope(envelope(notification(1))).messages[0]
    event = events_of(normaliser_for(LEADS), {**message, "received_ms": 0})[0]
    data = GUIDE.partition("## The data of an outbound message")[2].partition("## ")[0]

    assert _first_column(data) == set(event.data)


def _first_column(table: str) -> set[str]:
    cells = re.findall(r"^\| (`[^|]+) \|", table, flags=re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([\w-]+)`", cell)}
