"""Parser of Avro schemas.

Besides invalid schemas, the parser refuses schemas in which a few bytes could stand
for endless values: types that take no bytes, and records that contain themselves.
Salesforce has neither.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import orjson

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
    UnusableSchema,
    is_null,
)

_LARGEST_TEXT = 1024 * 1024
_DEEPEST = 20
# An object has about 900 fields, and its addresses and names have parts. Each field takes a microsecond
# per event, and a hundred microseconds to compile.
_MOST_FIELDS = 2_000
_MOST_TYPES = 20_000
_LONGEST_QUOTE = 60
_LONGEST_PATH = 120
_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})

_Composite = TypeVar("_Composite", Array, Map, Union, AvroRecord)


def parse_record(text: str) -> AvroRecord:
    """Return the record that the JSON `text` defines.

    Raises `UnusableSchema` for any other text, for more than a million
    characters, for more than 2,000 fields, and for types more than 20 levels
    deep.
    """
    if len(text) > _LARGEST_TEXT:
        raise UnusableSchema(f"the schema has {len(text)} characters, but the limit is {_LARGEST_TEXT}")
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UnusableSchema(f"the schema is not JSON: {error}") from error
    parsed = _Parser().parsed(given, _Place())
    if not isinstance(parsed, AvroRecord):
        raise UnusableSchema("the schema does not define a record")
    return parsed


class _Place:
    """Place of a type in its schema: the names of the enclosing fields, the namespace, and the depth."""

    __slots__ = ("depth", "names", "namespace")

    def __init__(self, names: tuple[str, ...] = (), namespace: str = "", depth: int = 0) -> None:
        _check_depth(depth)
        self.names = names
        self.namespace = namespace
        self.depth = depth

    def within(self, name: str | None = None, *, namespace: str | None = None) -> "_Place":
        """Return the place one level deeper, in the field `name` if given."""
        names = self.names if name is None else (*self.names, name)
        return _Place(names, self.namespace if namespace is None else namespace, self.depth + 1)

    def mistake(self, what: str) -> UnusableSchema:
        """Return the error for a mistake at this place."""
        path = ".".join(self.names)[:_LONGEST_PATH]
        return UnusableSchema(f"{path or 'the record of the event'} {what}")


class _Parser:
    """Parses one schema; it stores the named types that are defined so far."""

    def __init__(self) -> None:
        self._named: dict[str, AvroType | None] = {}
        self._levels: dict[AvroType, int] = {}
        self._fields = self._types = 0

    def parsed(self, given: Any, place: _Place) -> AvroType:
        """Return the type that the JSON value `given` defines or names."""
        self._count_types(1)
        if isinstance(given, str):
            return Primitive(kind=given) if given in _PRIMITIVES else self._referred(given, place)
        if isinstance(given, list):
            return self._union(given, place)
        if not isinstance(given, dict) or "type" not in given:
            raise place.mistake("has no type")
        return self._defined(given, place)

    def _defined(self, given: dict[str, Any], place: _Place) -> AvroType:
        match given["type"]:
            case "record" | "error":
                return self._record(given, place)
            case "enum" | "fixed":
                return self._named_value(given, place)
            case "array" | "map":
                return self._repeated(given, place)
            case str() as kind if kind in _PRIMITIVES:
                logical = given.get("logicalType")
                return Primitive(kind=kind, logical=logical if isinstance(logical, str) else None)
            case other:
                return self.parsed(other, place.within())

    def _repeated(self, given: dict[str, Any], place: _Place) -> AvroType:
        if given["type"] == "array":
            items = self._value(given.get("items"), place.within())
            return self._composed(Array(items=items), [items])
        values = self._value(given.get("values"), place.within())
        return self._composed(Map(values=values), [values])

    def _named_value(self, given: dict[str, Any], place: _Place) -> AvroType:
        full_name, _ = _full_name(given, place)
        self._claim(full_name, place)
        kind: AvroType
        if given["type"] == "enum":
            symbols = _symbols(given.get("symbols"), place)
            self._count_types(len(symbols))
            kind = Enumeration(symbols=symbols)
        else:
            kind = AvroFixed(size=_size(given.get("size"), place))
        self._named[full_name] = kind
        return kind

    def _value(self, given: Any, place: _Place) -> AvroType:
        kind = self.parsed(given, place)
        if is_null(kind):
            raise place.mistake("is always null")
        return kind

    def _union(self, given: list[Any], place: _Place) -> AvroType:
        if not given:
            raise place.mistake("is a union of no types")
        branches = tuple(self.parsed(branch, place.within()) for branch in given)
        if any(isinstance(branch, Union) for branch in branches):
            raise place.mistake("is a union within a union")
        return self._composed(Union(branches=branches), branches)

    def _record(self, given: dict[str, Any], place: _Place) -> AvroRecord:
        full_name, namespace = _full_name(given, place)
        self._claim(full_name, place)
        fields = given.get("fields")
        if not isinstance(fields, list) or not fields:
            raise place.mistake("is a record without fields")
        self._fields += len(fields)
        if self._fields > _MOST_FIELDS:
            raise UnusableSchema(f"the schema has more than {_MOST_FIELDS} fields")
        found = tuple(self._field(field, place, namespace) for field in fields)
        if len({field.name for field in found}) < len(found):
            raise place.mistake("has two fields with the same name")
        record = AvroRecord(name=full_name.rpartition(".")[2], fields=found)
        self._named[full_name] = record
        return self._composed(record, [field.type for field in found])

    def _field(self, given: Any, place: _Place, namespace: str) -> AvroField:
        name = given.get("name") if isinstance(given, dict) else None
        if not isinstance(name, str) or not name.isidentifier():
            raise place.mistake("has a field without a name")
        inner = place.within(name, namespace=namespace)
        doc = given.get("doc")
        kind = self._value(given.get("type"), inner)
        return AvroField(name=name, type=kind, doc=doc if isinstance(doc, str) else "")

    def _composed(self, kind: _Composite, parts: Iterable[AvroType]) -> _Composite:
        """Return a type whose parts are parsed. A reference can make the type deeper than its text shows."""
        levels = 1 + max(self._levels.get(part, 0) for part in parts)
        _check_depth(levels)
        self._levels[kind] = levels
        return kind

    def _count_types(self, count: int) -> None:
        self._types += count
        if self._types > _MOST_TYPES:
            raise UnusableSchema(f"the schema has more than {_MOST_TYPES} types and symbols")

    def _claim(self, full_name: str, place: _Place) -> None:
        if full_name in self._named:
            raise place.mistake(f"defines the type {_quoted(full_name)} a second time")
        self._named[full_name] = None

    def _referred(self, name: str, place: _Place) -> AvroType:
        for candidate in (_in_namespace(name, place.namespace), name):
            if candidate in self._named:
                kind = self._named[candidate]
                if kind is None:
                    raise place.mistake(f"contains the type {_quoted(name)}, which contains itself")
                return kind
        raise place.mistake(f"has the type {_quoted(name)}, which the schema has not defined before")


def _check_depth(levels: int) -> None:
    if levels > _DEEPEST:
        raise UnusableSchema(f"the types of the schema are nested more than {_DEEPEST} levels deep")


def _full_name(given: dict[str, Any], place: _Place) -> tuple[str, str]:
    """Return the full name of a type that is being defined, and the namespace for its inner types."""
    name, namespace = given.get("name"), given.get("namespace")
    if namespace is None:
        namespace = place.namespace
    if not isinstance(name, str) or not isinstance(namespace, str):
        raise place.mistake("is a type without a name")
    full_name = _in_namespace(name, namespace)
    inner, _, last = full_name.rpartition(".")
    if not last.isidentifier():
        raise place.mistake(f"defines a type with the invalid name {_quoted(name)}")
    return full_name, inner


def _in_namespace(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _symbols(given: Any, place: _Place) -> tuple[str, ...]:
    if not isinstance(given, list) or not given or not all(isinstance(symbol, str) for symbol in given):
        raise place.mistake("has no symbols")
    return tuple(given)


def _size(given: Any, place: _Place) -> int:
    if type(given) is not int or given < 1:
        raise place.mistake("is fixed without a size")
    return given


def _quoted(name: str) -> str:
    return repr(name[:_LONGEST_QUOTE])
