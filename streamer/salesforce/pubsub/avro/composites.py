"""Readers of Avro's composite types: enums, unions, arrays, maps and records."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamer.events import JsonObject
from streamer.salesforce.pubsub.avro.primitives import Reader, read_length, read_long, read_text

_SECOND_BRANCH = 2
_ONE_ITEM = 2
# So many bytes are copied to look for the next field that is not null.
_LONGEST_RUN = 128


def enumeration_reader(symbols: Sequence[str]) -> Reader:
    """Return the reader of an enum, by the names of its symbols."""
    count = len(symbols)

    def read(data: bytes, at: int) -> tuple[str, int]:
        index, at = read_long(data, at)
        if not 0 <= index < count:
            raise ValueError(f"symbol {index} of {count}")
        return symbols[index], at

    return read


def union_reader(branches: Sequence[Reader]) -> Reader:
    """Return the reader of a union: the value of its branch, as it is."""
    count = len(branches)

    def read(data: bytes, at: int) -> tuple[object, int]:
        index, at = read_long(data, at)
        if not 0 <= index < count:
            raise ValueError(f"branch {index} of {count}")
        return branches[index](data, at)

    return read


def array_reader(item: Reader) -> Reader:
    """Return the reader of a list of items; each takes at least one byte."""

    def read(data: bytes, at: int) -> tuple[list[object], int]:
        values: list[object] = []
        if data[at] == _ONE_ITEM:
            # So most lists begin, and end.
            value, at = item(data, at + 1)
            values.append(value)
        while data[at]:
            count, at = _read_count(data, at)
            if not count:
                return values, at
            for _ in range(count):
                value, at = item(data, at)
                values.append(value)
        return values, at + 1

    return read


def map_reader(item: Reader) -> Reader:
    """Return the reader of a map from texts."""

    def read(data: bytes, at: int) -> tuple[JsonObject, int]:
        values: JsonObject = {}
        while data[at]:
            count, at = _read_count(data, at)
            if not count:
                return values, at
            for _ in range(count):
                key, at = read_text(data, at)
                values[key], at = item(data, at)
        return values, at + 1

    return read


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldReader:
    """Reader of one field of a record.

    `present` reads the second branch of a union whose first one is null, and
    is `None` for a field of another type.
    """

    name: str
    read: Reader
    present: Reader | None = None


def record_reader(fields: Sequence[FieldReader], *, keep_nulls: bool) -> Reader:
    """Return the reader of a record, as an object by the names of its fields.

    Without `keep_nulls`, null fields are left out, and a record of nulls is
    null.
    """
    if not any(field.present for field in fields):
        return _required_fields_reader(fields, keep_nulls=keep_nulls)
    unset: JsonObject = {field.name: None for field in fields} if keep_nulls else {}
    steps = tuple(
        (field.name, nulls, field.present or field.read, field.read)
        for field, nulls in zip(fields, _null_runs(fields), strict=True)
    )
    count = len(steps)

    def read(data: bytes, at: int) -> tuple[JsonObject | None, int]:
        values = unset.copy()
        index = 0
        while index < count:
            name, nulls, present, read_field = steps[index]
            branch = data[at]
            if nulls and not branch:
                # Most fields of a change are null, each a zero byte: all of a run are skipped at once.
                zeros = data[at : at + nulls]
                run = len(zeros) - len(zeros.lstrip(b"\0"))
                at += run
                index += run
                continue
            if nulls and branch == _SECOND_BRANCH:
                value, at = present(data, at + 1)
            else:
                value, at = read_field(data, at)
            if value is not None:
                values[name] = value
            index += 1
        return values or None, at

    return read


def _required_fields_reader(fields: Sequence[FieldReader], *, keep_nulls: bool) -> Reader:
    steps = tuple((field.name, field.read) for field in fields)

    def read(data: bytes, at: int) -> tuple[JsonObject | None, int]:
        values = {}
        for name, read_field in steps:
            value, at = read_field(data, at)
            if value is not None or keep_nulls:
                values[name] = value
        return values or None, at

    return read


def _null_runs(fields: Sequence[FieldReader]) -> list[int]:
    """Return for each field how many fields from it on are null when their byte is zero, up to a limit."""
    runs = []
    run = 0
    for field in reversed(fields):
        run = 0 if field.present is None else min(run + 1, _LONGEST_RUN)
        runs.append(run)
    return runs[::-1]


def _read_count(data: bytes, at: int) -> tuple[int, int]:
    """Read the number of items in a block; a negative one is followed by the size of the block."""
    count, at = read_long(data, at)
    if count < 0:
        _, at = read_length(data, at)
        count = -count
    if count > len(data) - at:
        raise IndexError
    return count, at
