"""Records that are read from the org have the fields that their change events have."""

import csv
import io
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

import aiohttp
import pytest

from streamer.clock import TurnedClock
from streamer.events import Channel, Event, JsonObject, OrgId, Start
from streamer.normalise import normaliser_for
from streamer.normalise.record_events import OrgRecord
from streamer.normalise.record_shape import RecordShape
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.records import RestRecords
from streamer.salesforce.rest import Rest
from streamer.sandbox.org.definitions import parse_schema
from streamer.sandbox.org.org import OrgSetup
from streamer.sandbox.server import Sandbox, SandboxSettings
from streamer.settings import Transport
from tests.streaming import CHANGES, Losses, org_at, source_over
from tests.waiting import limited

_OF_EACH = 12
_INVOICE = {
    "Text__c": "string",
    "Long__c": "textarea",
    "Flag__c": "boolean",
    "Count__c": "int",
    "Number__c": {"type": "double", "precision": 18, "scale": 6},
    "Amount__c": {"type": "currency", "precision": 15, "scale": 2},
    "Share__c": "percent",
    "Due__c": "date",
    "At__c": "datetime",
    "Account__c": {"type": "reference", "to": "Account"},
    "Status__c": {"type": "picklist", "values": ["Draft", "Sent"]},
    "Tags__c": {"type": "multipicklist", "values": ["A", "B", "C"]},
    "Mail__c": "email",
    "Phone__c": "phone",
    "Site__c": "url",
}
_TEXTS = [
    "Ida",
    "é ☃ 𝄞",
    'a "quoted", word',
    "two\nlines",
    "carriage\r\nreturn",
    " spaces ",
    "0150",
    "true",
    "1e5",
]
_REQUIRED = {
    "Contact": {"LastName": "Berg"},
    "Lead": {"LastName": "Berg", "Company": "Acme"},
    "Account": {"Name": "Acme"},
    "Opportunity": {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-01-31"},
    "Invoice__c": {},
}


_NUMBERS = [0, 7, -1.5, 12.0, 0.1, 1234567.89, 123456789012.25]
_VALUES: Mapping[str, Callable[[random.Random], Any]] = {
    "boolean": lambda dice: dice.random() < 0.5,
    "int": lambda dice: dice.randint(-(10**6), 10**6),
    **dict.fromkeys(("double", "currency", "percent"), lambda dice: dice.choice(_NUMBERS)),
    "date": lambda dice: f"{dice.randint(1700, 4000)}-02-28",
    "datetime": lambda dice: f"{dice.choice([1950, 3999])}-03-29T01:30:15.{dice.randint(0, 999):03d}+02:00",
    "picklist": lambda dice: dice.choice(["Draft", "Sent"]),
    "email": lambda dice: f"ida{dice.randint(0, 99)}@acme.example",
    "multipicklist": lambda dice: ";".join(dice.sample(["A", "B", "C"], dice.randint(1, 3))),
}


def drawn(kind: str, dice: random.Random) -> Any:
    """Return a value for a field of a type of the describe, or `None`."""
    if dice.random() < 0.3:
        return None
    draw = _VALUES.get(kind)
    return dice.choice(_TEXTS) if draw is None else draw(dice)


def without_nulls(fields: JsonObject) -> JsonObject:
    """Return `fields` as a `created` event carries them: without those that are empty."""
    kept = {
        name: {part: each for part, each in value.items() if each is not None}
        if isinstance(value, dict)
        else value
        for name, value in fields.items()
    }
    return {name: value for name, value in kept.items() if value is not None and value != {}}


def as_csv(row: Mapping[str, Any], shape: RecordShape) -> dict[str, str]:
    """Return a row of REST as it comes out of a CSV of Bulk API 2.0."""
    texts = {name: _text(row.get(name)) for name in shape.select}
    written = io.StringIO(newline="")
    writer = csv.DictWriter(written, shape.select, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerow(texts)
    (read,) = csv.DictReader(io.StringIO(written.getvalue(), newline=""))
    return read


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case str() if value.endswith("+0000"):
            return value.replace("+0000", "Z")
        case _:
            return str(value)


def fill(sandbox: Sandbox, dice: random.Random) -> dict[str, str]:
    """Create records of many types in the org, and return their entities by id."""
    created: dict[str, str] = {}
    for entity, required in _REQUIRED.items():
        fields = sandbox.org.schema.entity(entity).fields
        writable = [
            field
            for name, field in fields.items()
            if name not in {"Id", "IsDeleted", "SystemModstamp", *required}
            and not name.startswith(("Created", "LastModified"))
            and field.type not in {"reference", "id"}
        ]
        for _ in range(_OF_EACH):
            values = {field.name: drawn(field.type, dice) for field in writable}
            with sandbox.org.transaction() as transaction:
                created[transaction.create(entity, {**values, **required})] = entity
    return created


async def created_events(
    transport: Transport, sandbox: Sandbox, tokens: Tokens, clock: TurnedClock, count: int
) -> dict[str, Event]:
    """Return the events of the org over `transport`, by record."""
    channel = Channel(org=OrgId(sandbox.org.settings.org_id), path=CHANGES)
    normalise = normaliser_for(channel)
    events: list[Event] = []
    async with (
        limited(f"{count} events"),
        source_over(transport, sandbox, tokens, clock, Losses()) as source,
        aclosing(source.batches(channel, after=Start.EARLIEST)) as batches,
    ):
        async for batch in batches:
            events += [item for item in normalise(batch.messages) if isinstance(item, Event)]
            if len(events) >= count:
                break
    return {event.key: event for event in events}


@pytest.mark.parametrize("transport", list(Transport))
async def test_record_has_the_fields_of_its_created_event(transport: Transport) -> None:
    """This holds for JSON from REST and for CSV from Bulk."""
    clock, dice = TurnedClock(), random.Random(14)  # noqa: S311 - chance, no secret
    schema = parse_schema({"objects": {"Invoice__c": {"fields": _INVOICE}}})
    settings = SandboxSettings(org=OrgSetup(schema=schema))
    async with (
        Sandbox(clock, pubsub_port=0, settings=settings) as sandbox,
        aiohttp.ClientSession() as http,
    ):
        created = fill(sandbox, dice)
        tokens = Tokens(http, org_at(sandbox.url), clock)
        events = await created_events(transport, sandbox, tokens, clock, len(created))
        reader = RestRecords(Rest(http, tokens, clock))
        for entity in _REQUIRED:
            shape = RecordShape.of(await reader.describe(entity))
            ids = [each for each, of in created.items() if of == entity]
            rows = await reader.read(entity, ids, shape.select)
            for record_id in ids:
                by_rest, by_csv = shape.record(rows[record_id]), shape.record(as_csv(rows[record_id], shape))
                assert by_rest == by_csv
                assert _types(by_rest.fields) == _types(by_csv.fields)
                assert without_nulls(by_rest.fields) == events[record_id].data["fields"]
                assert _stamps(by_rest) == (events[record_id].data["fields"]["LastModifiedDate"],) * 2


def _types(value: Any) -> Any:
    return {name: _types(each) for name, each in value.items()} if isinstance(value, dict) else type(value)


def _stamps(record: OrgRecord) -> tuple[str | None, str | None]:
    return record.last_modified, record.system_modstamp
