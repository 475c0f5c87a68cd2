"""Compiler of Avro types to readers; the compiler runs once for each schema."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamer.events import JsonObject
from streamer.salesforce.pubsub.avro.definitions import (
    Array,
    AvroField,
    AvroFixed,
    AvroRecord,
    AvroType,
    Enumeration,
    Map,
    Primitive,
    Union,
    is_null,
)
from streamer.salesforce.pubsub.avro.primitives import (
    PRIMITIVE_READERS,
    Reader,
    TimeText,
    fixed_reader,
    read_length,
    read_long,
    read_text,
    repeating_reader,
    stated_time,
    time_text,
)

_SECOND_BRANCH = 2
_ONE_ITEM = 2
# Number of bytes that are copied to find the next field that is not null.
_LONGEST_RUN = 128


def enumeration_reader(symbols: Sequence[str]) -> Reader:
    """Return the reader of an enum; the reader returns the name of the symbol."""
    count = len(symbols)

    def read(data: bytes, at: int) -> tuple[str, int]:
        index, at = read_long(data, at)
        if not 0 <= index < count:
            raise ValueError(f"symbol {index} of {count}")
        return symbols[index], at

    return read


def union_reader(branches: Sequence[Reader]) -> Reader:
    """Return the reader of a union; the reader returns the value of the branch."""
    count = len(branches)

    def read(data: bytes, at: int) -> tuple[object, int]:
        index, at = read_long(data, at)
        if not 0 <= index < count:
            raise ValueError(f"branch {index} of {count}")
        return branches[index](data, at)

    return read


def array_reader(item: Reader) -> Reader:
    """Return the reader of a list of items; each item takes at least one byte."""

    def read(data: bytes, at: int) -> tuple[list[object], int]:
        values: list[object] = []
        if data[at] == _ONE_ITEM:
            # Most lists have one block with one item.
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
    """Return the reader of a map with texts as keys."""

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

    If the field's type is a union whose first branch is null, `present` reads the
    second branch; for other types, `present` is `None`.
    """

    name: str
    read: Reader
    present: Reader | None = None


def record_reader(fields: Sequence[FieldReader], *, keep_nulls: bool) -> Reader:
    """Return the reader of a record; the reader returns an object, keyed by field name.

    Without `keep_nulls`, null fields are left out, and a record that has only
    nulls is null.
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
                # Most fields of a change are null, each a zero byte: skip all fields of such a run at once.
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
    """Return for each field the length of the run of nullable fields that begins there, up to a limit."""
    runs = []
    run = 0
    for field in reversed(fields):
        run = 0 if field.present is None else min(run + 1, _LONGEST_RUN)
        runs.append(run)
    return runs[::-1]


def _read_count(data: bytes, at: int) -> tuple[int, int]:
    """Read the number of items in a block; after a negative number, the size of the block follows."""
    count, at = read_long(data, at)
    if count < 0:
        _, at = read_length(data, at)
        count = -count
    if count > len(data) - at:
        raise IndexError
    return count, at


class ReaderCompiler:
    """Compiles the types of one schema, and compiles each named record only once.

    Without `keep_nulls`, objects contain only non-null fields; objects in lists and
    maps are always complete. With `plain_times`, dates and date-times stay numbers.
    """

    def __init__(self, *, keep_nulls: bool, plain_times: bool = False) -> None:
        self._keep_nulls = keep_nulls
        self._plain_times = plain_times
        self._whole = self if keep_nulls else ReaderCompiler(keep_nulls=True)
        self._records: dict[AvroRecord, Reader] = {}

    def record(self, record: AvroRecord) -> Reader:
        """Return the reader of a record."""
        reader = self._records.get(record)
        if reader is None:
            fields = [self.field(field) for field in record.fields]
            reader = self._records[record] = record_reader(fields, keep_nulls=self._keep_nulls)
        return reader

    def event(self, fields: list[FieldReader]) -> Reader:
        """Return the reader of an event from the readers of its fields."""
        return record_reader(fields, keep_nulls=self._keep_nulls)

    def field(self, field: AvroField, *, of_event: bool = False) -> FieldReader:
        """Return the reader of a field.

        With `of_event`, the field belongs to an event, and a system field is also
        recognised by its name.
        """
        time = stated_time(field.doc, name=field.name if of_event else "")
        kind = field.type
        if not isinstance(kind, Union):
            return FieldReader(name=field.name, read=self.type(kind, time))
        branches = [self.type(branch, time) for branch in kind.branches]
        present = branches[1] if is_null(kind.branches[0]) and branches[1:] else None
        return FieldReader(name=field.name, read=union_reader(branches), present=present)

    def type(self, kind: AvroType, time: TimeText | None = None) -> Reader:
        """Return the reader of a type; `time` is the format of the type's field, if this field is a time."""
        match kind:
            case Primitive():
                return self._primitive(kind, time)
            case Array() | Map():
                return self._repeated(kind)
            case Union():
                return union_reader([self.type(branch) for branch in kind.branches])
            case AvroRecord():
                return self.record(kind)
            case Enumeration():
                return enumeration_reader(kind.symbols)
            case AvroFixed():
                return fixed_reader(kind.size)

    def _repeated(self, kind: Array | Map) -> Reader:
        if isinstance(kind, Array):
            return array_reader(self._whole.type(kind.items))
        return map_reader(self._whole.type(kind.values))

    def _primitive(self, kind: Primitive, time: TimeText | None) -> Reader:
        read = PRIMITIVE_READERS[kind.kind]
        text = None if self._plain_times else time_text(kind, time)
        # Many consecutive changes have the same second.
        return read if text is None else repeating_reader(_time_reader(read, text))


def _time_reader(read: Reader, text: TimeText) -> Reader:
    def read_time(data: bytes, at: int) -> tuple[str, int]:
        value, at = read(data, at)
        return text(value), at

    return read_time
