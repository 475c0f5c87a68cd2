"""Load generator: publishes many changes, for load and for tests of order."""

import asyncio
from dataclasses import dataclass
from typing import Any

from streamer.clock import Clock
from streamer.sandbox.org.definitions.constraints import length
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.schema import Entity
from streamer.sandbox.samples import fitting, sample_record

_EVENT_WITHOUT_TEXT_BYTES = 680
_AT_ONCE = 500
# Room for the number of the change.
_PREFIX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Number, size and pace of the changes to make; each change is a separate transaction.

    Each of the first `records` changes creates a record, and the other changes update
    these records in turn. If `records` is `None`, every change creates a record.
    `Number__c` counts the changes from 1, and so shows their order. `size_bytes` is the
    approximate size of an event; with `None`, events are small. `per_second` is the
    rate of changes; with `None`, changes are made as fast as possible.
    """

    entity: str = "Account"
    count: int = 1
    records: int | None = None
    size_bytes: int | None = None
    per_second: float | None = None


async def produce(org: SandboxOrg, clock: Clock, backlog: Backlog) -> list[str]:
    """Make the changes, and return the ids of the created records. Other tasks can run meanwhile."""
    text = "" if backlog.size_bytes is None else " " + "x" * (backlog.size_bytes - _EVENT_WITHOUT_TEXT_BYTES)
    created: list[str] = []
    began_at = clock.monotonic()
    for number in range(1, backlog.count + 1):
        if backlog.per_second is not None:
            await clock.sleep(began_at + number / backlog.per_second - clock.monotonic())
        elif number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        entity = org.schema.entity(backlog.entity)
        fields = _fields(entity, number, text)
        with org.transaction() as transaction:
            if backlog.records is None or len(created) < backlog.records:
                new = sample_record(org, transaction, entity, number)
                created.append(transaction.create(entity.name, new | fields))
            else:
                transaction.update(entity.name, created[number % len(created)], fields)
    return created


def _fields(entity: Entity, number: int, text: str) -> dict[str, Any]:
    filler = _filler(entity, text)
    # Each change gets a different text, because the event of an update leaves out unchanged fields.
    values = {"Number__c": number, filler: f"Change {number}{text}"}
    if not entity.declared:
        return values
    return {
        name: fitting(entity.fields[name], value) for name, value in values.items() if name in entity.fields
    }


def _filler(entity: Entity, text: str) -> str:
    """Return the name of the field for the text.

    A custom field that its first use creates takes texts of any length.
    """
    standard = entity.field_name("Description")
    if standard is not None and (entity.declared or len(text) < length(entity.fields[standard]) - _PREFIX):
        return standard
    return (_long_text(entity) if entity.declared else None) or "Description__c"


def _long_text(entity: Entity) -> str | None:
    return next((field.name for field in entity.fields.values() if field.type == "textarea"), None)
