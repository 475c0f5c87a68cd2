"""Readers of Avro data, compiled from the text of a schema that Streamer wrote."""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

import orjson

from streamer.errors import UnreadableEvent
from streamer.events import JsonObject
from streamer.exact_json import exact_number, exact_value
from streamer.log.kafka.schemas.avro_schema import NUMERAL
from streamer.log.kafka.schemas.avro_values import date_text, timestamp_text
from streamer.log.kafka.schemas.record_types import FIELDS, NULL_FIELDS, OTHER_VALUES

_Read = Callable[[bytes, int], tuple[Any, int]]
"""Returns the value at a position, and the position after it. Raises `IndexError` at the end of the data."""
_MOST_BITS = 63
_unpack_double = struct.Struct("<d").unpack_from
_DEEPEST = 8
_OWN = "Fields"


class AvroReader:
    """Reads data of one schema. Raises `UnreadableEvent` for a text that is not such a schema."""

    def __init__(self, schema: str) -> None:
        compiler = _Compiler()
        try:
            described = orjson.loads(schema)
            self.name = _full_name(described)
            self._read = compiler.record(described, depth=0)
        except (LookupError, TypeError, ValueError, AttributeError) as exc:
            raise UnreadableEvent("the schema in the registry is not a schema of Streamer's events") from exc
        # A state has no list of nulls, because an absent field is empty.
        has_nulls = any(each.name == NULL_FIELDS for each in compiler.fields[self.name])
        self._fields = compiler.fields.get(f"{self.name}.{_OWN}", ()) if has_nulls else ()

    def read(self, datum: bytes) -> JsonObject:
        """Return the record in `datum`. Raises `UnreadableEvent`."""
        try:
            data, end = self._read(datum, 0)
            if end != len(datum):
                raise UnreadableEvent(f"{len(datum) - end} bytes follow the record")
            return self._complete(data)
        except (LookupError, TypeError, ValueError, OverflowError, AttributeError, struct.error) as exc:
            raise UnreadableEvent(f"the record is not a valid {self.name} in Avro") from exc

    def _complete(self, data: JsonObject) -> JsonObject:
        others = data.pop(OTHER_VALUES, None)
        if NULL_FIELDS in data:
            for path in data.pop(NULL_FIELDS):
                _put(data[FIELDS], path.split("."), None)
        elif self._fields:
            _fill(data[FIELDS], self._fields)
        for path, value in (others or {}).items():
            _put(data, path.split("."), exact_value(value))
        return data


@dataclass(frozen=True, slots=True)
class _Member:
    """Field of a record: its name, and the names of its parts if it is a record."""

    name: str
    parts: Sequence["_Member"] = ()


def _put(data: JsonObject, path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        data = data.setdefault(name, {})
    data[path[-1]] = value


def _fill(values: JsonObject, members: Sequence[_Member]) -> None:
    """Set each absent field to null."""
    for member in members:
        value = values.setdefault(member.name, None)
        if member.parts and type(value) is dict:
            _fill(value, member.parts)


def _full_name(described: JsonObject) -> str:
    return ".".join(filter(None, (described.get("namespace", ""), described["name"])))


@dataclass(slots=True)
class _Compiler:
    """Compiles the types of one schema; `fields` has the members of each record by its full name."""

    fields: dict[str, Sequence[_Member]] = field(default_factory=dict)

    def record(self, described: JsonObject, *, depth: int) -> _Read:
        if described["type"] != "record" or depth > _DEEPEST:
            raise ValueError("not a record, or too deep")
        members: list[_Member] = []
        steps: list[tuple[str, _Read, _Read | None]] = []
        for each in described["fields"]:
            name, kind = str(each["name"]), each["type"]
            branches = kind if isinstance(kind, list) else [kind]
            reads = [self._type(branch, each, depth) for branch in branches]
            is_nullable = branches[0] == "null"
            read = _union_reader(reads) if isinstance(kind, list) else reads[0]
            steps.append((name, read, reads[1] if is_nullable else None))
            records = [branch for branch in branches if isinstance(branch, dict) and "fields" in branch]
            parts = self.fields[_full_name(records[0])] if records else ()
            members.append(_Member(name, parts))
        self.fields[_full_name(described)] = members
        return _record_reader(steps)

    def _type(self, kind: Any, each: JsonObject, depth: int) -> _Read:
        if isinstance(kind, str):
            return _read_numeral if kind == "string" and each.get(NUMERAL) else _PRIMITIVES[kind]
        name = kind["type"]
        if name == "record":
            return self.record(kind, depth=depth + 1)
        if name == "array":
            return _array_reader(self._type(kind["items"], {}, depth))
        if name == "map":
            return _map_reader(self._type(kind["values"], {}, depth))
        if kind.get("logicalType") == "decimal":
            return _decimal_reader(int(kind["scale"]))
        return _LOGICAL[name, kind.get("logicalType")]


def _record_reader(steps: Sequence[tuple[str, _Read, _Read | None]]) -> _Read:
    nullable = bytes(1 if present else 0 for _, _, present in steps)
    runs = [len(nullable[place:]) - len(nullable[place:].lstrip(b"\1")) for place in range(len(steps))]
    compiled = [(name, read, present, present is _read_text) for name, read, present in steps]
    count = len(steps)

    def read(data: bytes, at: int) -> tuple[JsonObject, int]:
        values: JsonObject = {}
        place = 0
        while place < count:
            name, read_value, present, is_text = compiled[place]
            if present is None:
                values[name], at = read_value(data, at)
                place += 1
                continue
            branch = data[at]
            if branch == 2:  # noqa: PLR2004 - the second branch
                if is_text and (size := data[at + 1]) < 0x80:  # noqa: PLR2004 - a length of one byte
                    # Most values are short texts, and a call would take as long as this. A negative
                    # length, or a text beyond the end, does not lead to the end of the datum.
                    begin = at + 2
                    at = begin + (size >> 1)
                    values[name] = data[begin:at].decode()
                else:
                    values[name], at = present(data, at + 1)
                place += 1
            elif not branch:
                # Most fields of a change are absent, each a zero byte: skip all of a run at once.
                zeros = data[at : at + runs[place]]
                run = len(zeros) - len(zeros.lstrip(b"\0"))
                at += run
                place += run
            else:
                values[name], at = read_value(data, at)
                place += 1
        return values, at

    return read


def _union_reader(branches: Sequence[_Read]) -> _Read:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        branch, at = _read_long(data, at)
        if branch < 0:
            raise IndexError
        return branches[branch](data, at)

    return read


def _read_long(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    if byte < 0x80:  # noqa: PLR2004 - most numbers have one byte
        return (byte >> 1) ^ -(byte & 1), at
    coded = byte & 0x7F
    shift = 7
    while byte & 0x80:
        if shift > _MOST_BITS:
            raise ValueError("a number of more than 64 bits")
        byte = data[at]
        at += 1
        coded |= (byte & 0x7F) << shift
        shift += 7
    return (coded >> 1) ^ -(coded & 1), at


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _read_long(data, at)
    if not 0 <= size <= len(data) - at:
        raise IndexError
    return data[at : at + size], at + size


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    if (size := data[at]) < 0x80:  # noqa: PLR2004 - as above
        end = at + 1 + (size >> 1)
        return data[at + 1 : end].decode(), end
    raw, at = _read_bytes(data, at)
    return raw.decode(), at


def _read_numeral(data: bytes, at: int) -> tuple[Any, int]:
    text, at = _read_text(data, at)
    return exact_value(text), at


def _read_double(data: bytes, at: int) -> tuple[float, int]:
    return _unpack_double(data, at)[0], at + 8


def _read_boolean(data: bytes, at: int) -> tuple[bool, int]:
    return bool(data[at]), at + 1


def _read_null(_data: bytes, at: int) -> tuple[None, int]:
    return None, at


def _read_timestamp(data: bytes, at: int) -> tuple[str, int]:
    value, at = _read_long(data, at)
    return _timestamp_text(value), at


def _read_date(data: bytes, at: int) -> tuple[str, int]:
    value, at = _read_long(data, at)
    return date_text(value), at


_timestamp_text = lru_cache(maxsize=4096)(timestamp_text)


def _decimal_reader(scale: int) -> _Read:
    def read(data: bytes, at: int) -> tuple[float | Decimal, int]:
        raw, at = _read_bytes(data, at)
        number = Decimal(int.from_bytes(raw, "big", signed=True)).scaleb(-scale)
        return exact_number(f"{number:f}"), at

    return read


def _array_reader(item: _Read) -> _Read:
    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        values: list[Any] = []
        while (sized := _read_count(data, at))[0]:
            count, at = sized
            for _ in range(count):
                value, at = item(data, at)
                values.append(value)
        return values, sized[1]

    return read


def _map_reader(item: _Read) -> _Read:
    def read(data: bytes, at: int) -> tuple[JsonObject, int]:
        values: JsonObject = {}
        while (sized := _read_count(data, at))[0]:
            count, at = sized
            for _ in range(count):
                name, at = _read_text(data, at)
                values[name], at = item(data, at)
        return values, sized[1]

    return read


def _read_count(data: bytes, at: int) -> tuple[int, int]:
    """Read the number of items in a block; after a negative number, the size of the block follows."""
    count, at = _read_long(data, at)
    if count < 0:
        _, at = _read_long(data, at)
        count = -count
    # An item has at least one byte.
    if count > len(data) - at:
        raise IndexError
    return count, at


_PRIMITIVES: Mapping[str, _Read] = {
    "null": _read_null,
    "string": _read_text,
    "long": _read_long,
    "int": _read_long,
    "double": _read_double,
    "boolean": _read_boolean,
    "bytes": _read_bytes,
}
_LOGICAL: Mapping[tuple[str, str | None], _Read] = {
    ("int", "date"): _read_date,
    ("long", "timestamp-millis"): _read_timestamp,
}
