"""Change events in the shape of CometD.

A datum holds every field of its type, and null for an unchanged one. CometD
carries what changed, and null only for a field that was cleared (CDC guide,
change event body fields). The header's bitmaps tell the two apart.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from streamer.events import JsonObject
from streamer.salesforce.pubsub.avro.bitmaps import FieldBitmaps
from streamer.salesforce.pubsub.avro.compiler import ReaderCompiler
from streamer.salesforce.pubsub.avro.composites import FieldReader, record_reader
from streamer.salesforce.pubsub.avro.definitions import (
    Array,
    AvroRecord,
    AvroType,
    Primitive,
    UnusableSchema,
    branches_of,
)
from streamer.salesforce.pubsub.avro.primitives import Reader
from streamer.salesforce.pubsub.avro.repetition import repeating_reader

HEADER = "ChangeEventHeader"

_BITMAPS = ("changedFields", "nulledFields", "diffFields")

# Programs change the same fields of one type after the other, many within a millisecond.
_DIFFERS_IN_EACH = frozenset({"recordIds", "transactionKey", "sequenceNumber", "commitNumber"})


def is_change_event(event: AvroRecord) -> bool:
    """Return whether the first field of an event is the header of a change."""
    return event.fields[0].name == HEADER


def change_reader(event: AvroRecord) -> Reader:
    """Return the reader of a change event's payload.

    It holds the header and the non-null fields: all of a created record, the
    changed ones and those of an enrichment otherwise. An update also holds the
    fields that it cleared, as null, and the cleared parts beside the other parts of
    a compound field. A large text whose diff alone was sent is `{"diff": text}`.
    The header names the changed fields, has no `nulledFields` and `diffFields`, and
    its times are numbers.

    Raises `UnusableSchema` for a header whose bitmaps are not lists of texts.
    """
    header = event.fields[0]
    if not isinstance(header.type, AvroRecord):
        raise UnusableSchema(f"{HEADER} is not a record")
    declared = {field.name: field.type for field in header.type.fields}
    for name in _BITMAPS:
        if name in declared and not _lists_texts(declared[name]):
            raise UnusableSchema(f"{HEADER}.{name} is not a list of texts")
    bitmaps = FieldBitmaps(event)
    compiler = ReaderCompiler(keep_nulls=False)
    fields = [compiler.field(field, of_event=True) for field in event.fields[1:]]
    read = compiler.event([FieldReader(name=HEADER, read=_header_reader(header.type, bitmaps)), *fields])
    tells_nulled = "nulledFields" in declared

    def read_change(data: bytes, at: int) -> tuple[JsonObject, int]:
        payload, at = read(data, at)
        about = payload[HEADER]
        nulled = about.pop("nulledFields", None)
        differing = about.pop("diffFields", None)
        if differing:
            _mark_differences(payload, differing)
        if about.get("changeType") == "UPDATE":
            if nulled:
                _add_nulls(payload, bitmaps.names(nulled))
            elif not tells_nulled:
                _add_nulls(payload, about.get("changedFields") or ())
        return payload, at

    return read_change


def _header_reader(header: AvroRecord, bitmaps: FieldBitmaps) -> Reader:
    """Return the reader of a header, which has the names of the changed and the differing fields.

    Its fields that are mostly those of the event before are compared in runs.
    """
    compiler = ReaderCompiler(keep_nulls=True, plain_times=True)
    steps: list[tuple[str | None, Reader]] = []
    for differs, fields in groupby(header.fields, key=lambda field: field.name in _DIFFERS_IN_EACH):
        readers = [compiler.field(field) for field in fields]
        if differs:
            steps += [(reader.name, reader.read) for reader in readers]
        elif len(readers) == 1 and readers[0].name not in _BITMAPS:
            steps.append((readers[0].name, repeating_reader(readers[0].read)))
        else:
            read_run = _with_names(record_reader(readers, keep_nulls=True), bitmaps)
            steps.append((None, repeating_reader(read_run)))

    def read(data: bytes, at: int) -> tuple[JsonObject, int]:
        about: JsonObject = {}
        for name, read_step in steps:
            value, at = read_step(data, at)
            if name is None:
                about.update(value)
            else:
                about[name] = value
        return about, at

    return read


def _with_names(read: Reader, bitmaps: FieldBitmaps) -> Reader:
    def read_named(data: bytes, at: int) -> tuple[JsonObject, int]:
        values, at = read(data, at)
        for name in ("changedFields", "diffFields"):
            if values.get(name):
                values[name] = bitmaps.names(values[name])
        return values, at

    return read_named


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
