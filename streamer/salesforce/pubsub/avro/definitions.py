"""Types of an Avro schema: a tree in which references to named types are resolved.

A type equals only itself, so that it can be the key of what is made from it.
"""

from dataclasses import dataclass

from streamer.errors import UnreadableEvent


class UnusableSchema(UnreadableEvent):
    """A text is no Avro schema by which events can be read; no event that names it can be."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Primitive:
    """Primitive type by Avro's name, such as `long`, and its logical type if the schema gives one."""

    kind: str
    logical: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Enumeration:
    """Enum; a datum holds the index of a symbol."""

    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AvroFixed:
    """Bytes of a fixed number."""

    size: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Array:
    """List of values of one type."""

    items: "AvroType"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Map:
    """Values of one type by texts."""

    values: "AvroType"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Union:
    """Choice of types; a datum holds the index of its branch."""

    branches: "tuple[AvroType, ...]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AvroField:
    """Field of a record, with its documentation, in which Salesforce states the field's own type."""

    name: str
    type: "AvroType"
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AvroRecord:
    """Record: at least one field, each under a name of its own, in the order of the encoding."""

    name: str
    fields: tuple[AvroField, ...]


AvroType = Primitive | Enumeration | AvroFixed | Array | Map | Union | AvroRecord


def branches_of(kind: AvroType) -> tuple[AvroType, ...]:
    """Return the branches of a union, or the type itself."""
    return kind.branches if isinstance(kind, Union) else (kind,)


def is_null(kind: AvroType) -> bool:
    """Return whether the type is `null`."""
    return isinstance(kind, Primitive) and kind.kind == "null"
