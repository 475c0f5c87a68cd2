"""Types of an Avro schema, as a tree with resolved references, and the limits of a datum.

Types compare by identity, so a type can be a dictionary key.
"""

from dataclasses import dataclass

from streamer.errors import UnreadableEvent


class UnusableSchema(UnreadableEvent):
    """The text is not an Avro schema for events, so no event that names it can be read."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Primitive:
    """Primitive type with Avro's name, such as `long`, and its logical type if the schema has one."""

    kind: str
    logical: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Enumeration:
    """Enum; a datum contains the index of a symbol."""

    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AvroFixed:
    """Bytes with a fixed length."""

    size: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Array:
    """List of values of one type."""

    items: "AvroType"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Map:
    """Map from texts to values of one type."""

    values: "AvroType"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Union:
    """Choice of types; a datum contains the index of its branch."""

    branches: "tuple[AvroType, ...]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AvroField:
    """Field of a record; in `doc`, Salesforce states the field's own type."""

    name: str
    type: "AvroType"
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AvroRecord:
    """Record with at least one field, in the order of the encoding; field names are unique."""

    name: str
    fields: tuple[AvroField, ...]


AvroType = Primitive | Enumeration | AvroFixed | Array | Map | Union | AvroRecord


def branches_of(kind: AvroType) -> tuple[AvroType, ...]:
    """Return the branches of a union, or the type itself."""
    return kind.branches if isinstance(kind, Union) else (kind,)


def is_null(kind: AvroType) -> bool:
    """Return whether the type is `null`."""
    return isinstance(kind, Primitive) and kind.kind == "null"


# Salesforce refuses to publish an event of more than 1 MB, and sends a gap event for a larger change.
_LARGEST_DATUM = 2 * 1024 * 1024
# A list of texts of 1 MB, such as the ids of a large transaction, needs less memory than this.
_MOST_MEMORY = 50_000_000
# Approximate sizes of Python's objects, in bytes.
_SCALAR = 40
_LIST = 100
_OBJECT = 250
_MEMBER = 100


def largest_datum(schema: AvroRecord) -> int:
    """Return the most bytes of a datum of `schema`: 2 MB, or fewer if the schema's lists contain objects."""
    return min(_LARGEST_DATUM, _MOST_MEMORY // _Memory().of_repeated(schema))


def types_in(schema: AvroRecord) -> int:
    """Return the number of types in a schema; each named type counts once."""
    waiting: list[AvroType] = [schema]
    records: set[AvroRecord] = set()
    count = 0
    while waiting:
        kind = waiting.pop()
        count += 1
        if isinstance(kind, AvroRecord):
            if kind not in records:
                records.add(kind)
                waiting += [field.type for field in kind.fields]
        elif isinstance(kind, Array):
            waiting.append(kind.items)
        elif isinstance(kind, Map):
            waiting.append(kind.values)
        elif isinstance(kind, Union):
            waiting += kind.branches
    return count


class _Memory:
    """Memory that decoded values of one schema's types need, in bytes per byte of a datum."""

    def __init__(self) -> None:
        self._repeated: dict[AvroType, int] = {}
        self._records: dict[AvroRecord, int] = {}

    def of_repeated(self, kind: AvroType) -> int:
        """Return the memory for the items of the most expensive list or map within a type."""
        known = self._repeated.get(kind)
        if known is None:
            if isinstance(kind, Array):
                known = self.of(kind.items)
            elif isinstance(kind, Map):
                known = _MEMBER + self.of(kind.values)
            elif isinstance(kind, AvroRecord):
                known = max(self.of_repeated(field.type) for field in kind.fields)
            else:
                parts = [branch for branch in branches_of(kind) if branch is not kind]
                known = max((self.of_repeated(branch) for branch in parts), default=1)
            self._repeated[kind] = known
        return known

    def of(self, kind: AvroType) -> int:
        """Return the memory for the values of a type."""
        if isinstance(kind, Array):
            return _LIST + self.of(kind.items)
        if isinstance(kind, Map):
            return _OBJECT + _MEMBER + self.of(kind.values)
        if isinstance(kind, AvroRecord):
            return self._of_record(kind)
        parts = [branch for branch in branches_of(kind) if branch is not kind]
        return max((self.of(branch) for branch in parts), default=_SCALAR)

    def _of_record(self, record: AvroRecord) -> int:
        known = self._records.get(record)
        if known is None:
            inner = max(self.of(field.type) for field in record.fields)
            known = _OBJECT // len(record.fields) + _MEMBER + inner
            self._records[record] = known
        return known
