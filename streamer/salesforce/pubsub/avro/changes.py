"""Change events in the shape of CometD.

A datum holds every field of its type, and null for an unchanged one. CometD
carries what changed, and null only for a field that was cleared (CDC guide,
change event body fields). The header's bitmaps tell the two apart.
"""

from collections.abc import Sequence
from typing import Any

from streamer.events import JsonObject
from streamer.salesforce.pubsub.avro.bitmaps import FieldBitmaps
from streamer.salesforce.pubsub.avro.compiler import ReaderCompiler
from streamer.salesforce.pubsub.avro.composites import FieldReader
from streamer.salesforce.pubsub.avro.definitions import (
    Array,
    AvroType,
    Primitive,
    Record,
    UnusableSchema,
    branches_of,
)
from streamer.salesforce.pubsub.avro.primitives import Reader

HEADER = "ChangeEventHeader"

_BITMAPS = ("changedFields", "nulledFields", "diffFields")


def is_change_event(event: Record) -> bool:
    """Return whether the first field of an event is the header of a change."""
    return event.fields[0].name == HEADER


def change_reader(event: Record) -> Reader:
    """Return the reader of a change event's payload.

    It holds the header and the non-null fields: all of a created record, the
    changed ones and those of an enrichment otherwise. An update also holds the
    fields that it cleared, as null, and the cleared parts beside the other
    parts of a compound field. A large text of which only the difference was
    sent is `{"diff": text}`. The header names the changed fields, has no
    `nulledFields` and `diffFields`, and its times are numbers.

    Raises `UnusableSchema` for a header whose bitmaps are not lists of texts.
    """
    header = event.fields[0]
    if not isinstance(header.type, Record):
        raise UnusableSchema(f"{HEADER} is no record")
    declared = {field.name: field.type for field in header.type.fields}
    for name in _BITMAPS:
        if name in declared and not _lists_texts(declared[name]):
            raise UnusableSchema(f"{HEADER}.{name} is no list of texts")
    read_header = ReaderCompiler(keep_nulls=True, plain_times=True).record(header.type)
    compiler = ReaderCompiler(keep_nulls=False)
    fields = [compiler.field(field, of_event=True) for field in event.fields[1:]]
    read = compiler.event([FieldReader(name=HEADER, read=read_header), *fields])
    bitmaps = FieldBitmaps(event)
    tells_nulled = "nulledFields" in declared

    def read_change(data: bytes, at: int) -> tuple[JsonObject, int]:
        payload, at = read(data, at)
        about = payload[HEADER]
        changed = about.get("changedFields")
        nulled = about.pop("nulledFields", None)
        differing = about.pop("diffFields", None)
        if changed:
            about["changedFields"] = changed = bitmaps.names(changed)
        if differing:
            _mark_differences(payload, bitmaps.names(differing))
        if about.get("changeType") == "UPDATE":
            if nulled:
                _add_nulls(payload, bitmaps.names(nulled))
            elif changed and not tells_nulled:
                _add_nulls(payload, changed)
        return payload, at

    return read_change


def _add_nulls(payload: JsonObject, names: Sequence[str]) -> None:
    for name in names:
        field, _, part = name.partition(".")
        if not part:
            payload.setdefault(field, None)
            continue
        compound = payload.setdefault(field, {})
        # A name can be a text where its parts are expected.
        if isinstance(compound, dict):
            compound.setdefault(part, None)


def _mark_differences(payload: JsonObject, names: Sequence[str]) -> None:
    for name in names:
        field, _, part = name.partition(".")
        holder: Any = payload
        if part:
            holder, field = payload.get(field), part
        value = holder.get(field) if isinstance(holder, dict) else None
        if isinstance(value, str):
            holder[field] = {"diff": value}


def _lists_texts(kind: AvroType) -> bool:
    for branch in branches_of(kind):
        match branch:
            case Primitive(kind="null") | Array(items=Primitive(kind="string")):
                continue
            case _:
                return False
    return True
