"""Compiler of Avro types to readers, done once for each schema."""

from streamer.salesforce.pubsub.avro.composites import (
    FieldReader,
    array_reader,
    enumeration_reader,
    map_reader,
    record_reader,
    union_reader,
)
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
from streamer.salesforce.pubsub.avro.primitives import PRIMITIVE_READERS, Reader, fixed_reader
from streamer.salesforce.pubsub.avro.repetition import repeating_reader
from streamer.salesforce.pubsub.avro.times import TimeText, stated_time, time_text


class ReaderCompiler:
    """Compiles the types of one schema, each named record once.

    Unless it keeps nulls, the objects that are read hold the non-null fields
    only; those in lists and maps stay whole. With `plain_times`, dates and
    date-times stay numbers.
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
        """Return the reader of an event, whose fields are compiled."""
        return record_reader(fields, keep_nulls=self._keep_nulls)

    def field(self, field: AvroField, *, of_event: bool = False) -> FieldReader:
        """Return the reader of a field; the system fields among those `of_event` can be known by name."""
        time = stated_time(field.doc, name=field.name if of_event else "")
        kind = field.type
        if not isinstance(kind, Union):
            return FieldReader(name=field.name, read=self.type(kind, time))
        branches = [self.type(branch, time) for branch in kind.branches]
        present = branches[1] if is_null(kind.branches[0]) and branches[1:] else None
        return FieldReader(name=field.name, read=union_reader(branches), present=present)

    def type(self, kind: AvroType, time: TimeText | None = None) -> Reader:
        """Return the reader of a type; `time` is the format of the field that has it, if it is a time."""
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
        # Changes come in bursts of the same second.
        return read if text is None else repeating_reader(_time_reader(read, text))


def _time_reader(read: Reader, text: TimeText) -> Reader:
    def read_time(data: bytes, at: int) -> tuple[str, int]:
        value, at = read(data, at)
        return text(value), at

    return read_time
