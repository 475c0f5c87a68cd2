"""Schema of events, compiled to a reader; also for change events."""

import re
import struct
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from streamer.errors import UnreadableEvent
from streamer.events import JsonObject
from streamer.salesforce.pubsub.avro.compiler import FieldReader, ReaderCompiler, record_reader
from streamer.salesforce.pubsub.avro.definitions import (
    Array,
    AvroField,
    AvroRecord,
    AvroType,
    Primitive,
    UnusableSchema,
    branches_of,
    largest_datum,
    types_in,
)
from streamer.salesforce.pubsub.avro.parser import parse_record
from streamer.salesforce.pubsub.avro.primitives import Reader, repeating_reader

_BITMAP = re.compile(r"(?:([0-9]{1,6})-)?0[xX]([0-9A-Fa-f]{1,8192})")
_MOST_KNOWN = 256
_MOST_KNOWN_NAMES = 8_192
_LONGEST_KNOWN = 256


class FieldBitmaps:
    """Finds the field names of one schema for the elements of a bitmap.

    The parts of a compound field are named one by one, as `BillingAddress.City`,
    even if all parts are set. An element can also be a field name.
    """

    def __init__(self, event: AvroRecord) -> None:
        self._fields = tuple(field.name for field in event.fields)
        # The first field is the header.
        parts = {index: _parts_of(field) for index, field in enumerate(event.fields) if index}
        self._parts = {index: names for index, names in parts.items() if names}
        names = [*self._fields[1:], *(name for names in self._parts.values() for name in names)]
        self._names = {name: (name,) for name in names}
        self._known: dict[str, tuple[str, ...]] = {}
        self._known_names = 0

    def names(self, elements: Sequence[str]) -> list[str]:
        """Return the names in the order of the elements and of the bits.

        Raises `ValueError` if an element is neither a bitmap nor a name, or if a bit
        has no field.
        """
        if len(elements) > len(self._names) + 1:
            raise ValueError(
                f"a list of field bitmaps has {len(elements)} elements, but the event has only "
                f"{len(self._names)} fields"
            )
        names: list[str] = []
        for element in elements:
            names += self._known.get(element) or self._named(element)
        return names

    def _named(self, element: str) -> tuple[str, ...]:
        found = self._decoded(element)
        # Programs change the same fields repeatedly, so there are few different bitmaps.
        if len(element) <= _LONGEST_KNOWN:
            if len(self._known) >= _MOST_KNOWN or self._known_names > _MOST_KNOWN_NAMES:
                self._known.clear()
                self._known_names = 0
            self._known[element] = found
            self._known_names += len(found)
        return found

    def _decoded(self, element: str) -> tuple[str, ...]:
        bitmap = _BITMAP.fullmatch(element)
        if bitmap is None:
            if element not in self._names:
                raise ValueError(f"{element[:40]!r} is neither a bitmap nor the name of a field")
            return self._names[element]
        parent, digits = bitmap.groups()
        names = self._fields if parent is None else self._parts.get(int(parent), ())
        bits = int(digits, 16)
        is_header = parent is None and bits & 1
        if is_header or bits >> len(names):
            raise ValueError(f"the bitmap {element[:40]!r} names more fields than the event has")
        return tuple(name for index, name in enumerate(names) if bits >> index & 1)


def _parts_of(field: AvroField) -> tuple[str, ...]:
    for branch in branches_of(field.type):
        if isinstance(branch, AvroRecord):
            return tuple(f"{field.name}.{part.name}" for part in branch.fields)
    return ()


HEADER = "ChangeEventHeader"
_BITMAPS = ("changedFields", "nulledFields", "diffFields")
# Programs often change the same fields of many records in the same millisecond.
_DIFFERS_IN_EACH = frozenset({"recordIds", "transactionKey", "sequenceNumber", "commitNumber"})


def is_change_event(event: AvroRecord) -> bool:
    """Return whether the first field of an event is the header of a change."""
    return event.fields[0].name == HEADER


def change_reader(event: AvroRecord) -> Reader:
    """Return the reader of a change event's payload.

    The payload has the header and the non-null fields: all fields of a created
    record, otherwise the changed fields and the enrichment fields. In an update,
    cleared fields are null, and so are cleared parts of a compound field. If only
    the diff of a large text was sent, the value is `{"diff": text}`. In the header,
    the changed fields are names, times are numbers, and `nulledFields` and
    `diffFields` are missing.

    Raises `UnusableSchema` if the bitmaps in the header are not lists of texts.
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
    """Return the reader of a header; the reader turns the bitmaps of changed and diff fields into names.

    Header fields that rarely differ from the last event are compared in runs.
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
        # A value can be a text where its parts are expected.
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


_LONGEST_QUOTE = 40
# Measured: 250 to 500 bytes per type.
_BYTES_EACH = 500


class EventSchema:
    """Reads events of one schema from binary Avro.

    Schemas are independent, even if they use the same name for different records.
    """

    def __init__(self, schema_id: str, event: AvroRecord) -> None:
        self._id = schema_id
        self._name = event.name
        self._is_change = is_change_event(event)
        self._largest = largest_datum(event)
        self._size = _BYTES_EACH * types_in(event)
        self._read = change_reader(event) if self._is_change else _platform_event_reader(event)

    @classmethod
    def parse(cls, schema_id: str, schema_json: str) -> "EventSchema":
        """Return the schema with the id `schema_id`, which the text `schema_json` defines.

        Raises `UnusableSchema` if the text is not an Avro record, or has more than
        a million characters or 2,000 fields. Types that are nested too deeply,
        contain themselves, or take no bytes also raise `UnusableSchema`.
        """
        try:
            return cls(schema_id, parse_record(schema_json))
        except UnusableSchema as error:
            message = f"The event schema {schema_id[:_LONGEST_QUOTE]!r} can't be used: {error}"
            raise UnusableSchema(message) from error

    @property
    def id(self) -> str:
        """Id by which events name the schema."""
        return self._id

    @property
    def name(self) -> str:
        """API name of the event without a namespace: `Order_Placed__e`, `AccountChangeEvent`."""
        return self._name

    @property
    def is_change(self) -> bool:
        """True for the schema of a change event."""
        return self._is_change

    @property
    def size(self) -> int:
        """Approximate memory of the schema, in bytes."""
        return self._size

    @property
    def largest_datum(self) -> int:
        """Largest number of bytes of a payload."""
        return self._largest

    def decode(self, payload: bytes) -> JsonObject:
        """Return the `payload` object that CometD would send for the datum `payload`.

        A union becomes its value, an enum the name of its symbol, and bytes become
        base64. Date-times are `YYYY-MM-DDTHH:mm:ss.sssZ`, and dates `YYYY-MM-DD`, if
        the schema states them. A platform event has all its fields, with null for
        unset fields; `change_reader` describes a change event.

        Raises `UnreadableEvent` for bytes that are not exactly one datum, and for
        more than 2 MB. The limit is lower for a schema whose lists contain objects.
        """
        if len(payload) > self._largest:
            raise self._unreadable(f"the payload has {len(payload)} bytes, but the limit is {self._largest}")
        try:
            values, end = self._read(payload, 0)
        except (IndexError, struct.error) as error:
            raise self._unreadable("the payload is incomplete") from error
        except UnicodeDecodeError as error:
            raise self._unreadable("the payload contains a text that is not UTF-8") from error
        except ValueError as error:
            raise self._unreadable(f"the payload contains {error}") from error
        if end < len(payload):
            raise self._unreadable(f"{len(payload) - end} bytes follow the event")
        payload_object: JsonObject = values
        return payload_object

    def _unreadable(self, reason: str) -> UnreadableEvent:
        name, schema_id = self._name[:_LONGEST_QUOTE], self._id[:_LONGEST_QUOTE]
        return UnreadableEvent(f"The event is not a valid {name} of the schema {schema_id!r}: {reason}")


def _platform_event_reader(event: AvroRecord) -> Reader:
    compiler = ReaderCompiler(keep_nulls=True)
    return compiler.event([compiler.field(field, of_event=True) for field in event.fields])
