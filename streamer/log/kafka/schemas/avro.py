"""Writers of Avro that a record type is compiled to.

Most fields of a change are absent. A writer looks only at the fields that a record
has, so its time does not grow with the number of the entity's fields.

Source: Avro 1.11 specification, binary encoding.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from streamer.events import JsonObject
from streamer.exact_json import exact_default
from streamer.log.kafka.schemas.avro_shapes import ShapeField, shape_writer
from streamer.log.kafka.schemas.avro_values import (
    FEW,
    LENGTHS,
    TEXT_LENGTHS,
    WITH_ERRORS,
    WRITERS,
    InexactNumber,
    WriteValue,
    decimal_writers,
    write_entries,
    write_items,
    write_long,
)
from streamer.log.kafka.schemas.record_types import (
    FIELDS,
    NULL_FIELDS,
    OTHER_VALUES,
    Kind,
    RecordField,
    RecordType,
)


class _Rest:
    """Nulls, values of another type and unknown fields, which a record's own fields do not hold.

    The entity has `named` fields, and the record `written` fields.
    """

    __slots__ = ("named", "nulls", "others", "unknown", "written")

    def __init__(self) -> None:
        self.nulls: list[str] = []
        self.others: JsonObject = {}
        self.unknown: list[str] = []
        self.named = self.written = 0


Written = tuple[bytes, Sequence[str]]
"""Datum of a record, and the names of fields that the record type does not have."""


_WriteRecord = Callable[[JsonObject, _Rest], bytes]
_OF_FIELDS = len(FIELDS) + 1


class AvroWriter:
    """Writes records of one type in Avro's binary encoding."""

    def __init__(self, record: RecordType, *, is_lenient: bool = False) -> None:
        """Compile the writer.

        With `is_lenient`, a number that its type can't hold is among the other values.
        """
        inner = tuple(each for each in record.fields if each.name not in {NULL_FIELDS, OTHER_VALUES})
        self._write = _record_writer(RecordType(name=record.name, fields=inner), is_lenient=is_lenient)
        # Without a list of nulls, each absent field is null.
        self._has_nulls = any(each.name == NULL_FIELDS for each in record.fields)
        self._nothing = _NO_NULLS + _NO_OTHERS if self._has_nulls else _NO_OTHERS
        self._rest = _Rest()

    def write(self, data: JsonObject) -> Written:
        """Return the datum of `data`, and the names of fields that the record type does not have.

        Values without a field, or of another type than their field, are in the
        record's other values, so no value is lost.

        Raises `InexactNumber`, and `ValueError` or `TypeError` if a required field is
        missing or a value can't be written.
        """
        rest = self._rest
        rest.named = rest.written = 0
        try:
            datum = self._write(data, rest)
        except BaseException:
            self._rest = _Rest()
            raise
        if not (rest.nulls or rest.others):
            return datum + self._nothing, ()
        # Most records have nothing there, so they share one object.
        self._rest = _Rest()
        return datum + (_nulls(rest) if self._has_nulls else b"") + _others(rest), rest.unknown


_NO_NULLS, _NO_OTHERS = b"\x02\x00", b"\x00"


def _nulls(rest: _Rest) -> bytes:
    # Only nulls without a list are nulls of every field that is absent.
    is_whole = rest.nulls and not rest.others and rest.named == rest.written
    return b"\x00" if is_whole else b"\x02" + write_items(rest.nulls)


def _others(rest: _Rest) -> bytes:
    if not rest.others:
        return _NO_OTHERS
    return b"\x02" + write_entries({path: _json(value) for path, value in rest.others.items()})


def _json(value: Any) -> str:
    return orjson.dumps(value, default=exact_default).decode()


# A shape takes some kilobytes. An application writes the same fields again and again.
_MOST_SHAPES = 512


def _record_writer(record: RecordType, path: str = "", *, is_lenient: bool) -> _WriteRecord:
    """Return the writer of a record whose fields are at `path`, which ends with a dot unless it is empty."""
    steps = {
        each.name: _step(place, each, path, is_lenient=is_lenient) for place, each in enumerate(record.fields)
    }
    required = {each.name for each in record.fields if each.required}
    count = len(record.fields)
    counted = f"rest.named += {count}; rest.written += len(data)" if path.startswith(FIELDS) else ""
    write_any = _any_writer(record, steps, path)
    shapes: dict[tuple[str, ...], _WriteRecord] = {}

    def write(data: JsonObject, rest: _Rest) -> bytes:
        shape = tuple(data)
        if (write_shape := shapes.get(shape)) is not None:
            return write_shape(data, rest)
        if len(shapes) < _MOST_SHAPES and shape and required <= data.keys() <= steps.keys():
            shapes[shape] = shape_writer([steps[name] for name in shape], count, counted, write_any)
        return write_any(data, rest)

    return write


def _any_writer(record: RecordType, steps: Mapping[str, ShapeField], path: str) -> _WriteRecord:
    """Return the writer of records of any shape."""
    # An absent field is a zero byte; a required field has no such form.
    template = [None if each.required else b"\0" for each in record.fields]
    count, is_of_entity = len(record.fields), path.startswith(FIELDS)

    def write(data: JsonObject, rest: _Rest) -> bytes:
        pieces = template.copy()
        for name, value in data.items():
            if (step := steps.get(name)) is None:
                rest.unknown.append(path + name)
                rest.others[path + name] = value
            elif value is None and is_of_entity:
                rest.nulls.append(path[_OF_FIELDS:] + name)
            elif (piece := _piece(step, value, rest)) is None:
                rest.others[path + name] = value
            else:
                pieces[step.place] = piece
        if is_of_entity:
            rest.named += count
            rest.written += len(data)
        return _joined(pieces, record, path)

    return write


def _piece(step: ShapeField, value: Any, rest: _Rest) -> bytes | None:
    kind = type(value)
    if kind is str and step.lengths is not None:
        encoded = value.encode()
        size = len(encoded)
        before = step.lengths[size] if size < FEW else step.lengths[FEW] + write_long(size)
        return bytes(before + encoded)
    if (write_value := step.writers.get(kind)) is not None:
        piece = write_value(value)
        return piece if piece is None or step.branch else piece[1:]
    if kind is dict and step.write_record is not None:
        return step.branch + step.write_record(value, rest)
    return None


def _joined(pieces: Sequence[bytes | None], record: RecordType, path: str) -> bytes:
    try:
        return b"".join(pieces)  # type: ignore[arg-type] # a missing field is the exception
    except TypeError:
        missing = [each.name for each, piece in zip(record.fields, pieces, strict=True) if piece is None]
        raise ValueError(f"{path}{missing[0]} is missing, or has another type than the schema") from None


def _step(place: int, each: RecordField, path: str, *, is_lenient: bool) -> ShapeField:
    has_texts = each.type.kind in {Kind.TEXT, Kind.TEXT_OR_RECORD}
    lengths = (LENGTHS if each.required else TEXT_LENGTHS) if has_texts else None
    branch = b"" if each.required else b"\2"
    if each.type.record is None:
        writers = decimal_writers(each.type) if each.type.kind is Kind.DECIMAL else WRITERS[each.type.kind]
        can_fail = each.type.kind is Kind.DECIMAL
        named = {
            kind: _checked(write, "" if is_lenient else f"{path}{each.name}")
            if can_fail or write in WITH_ERRORS
            else write
            for kind, write in writers.items()
        }
        return ShapeField(place, lengths, named, None, branch)
    # The branch of a text is before the branch of a record.
    write_record = _record_writer(each.type.record, f"{path}{each.name}.", is_lenient=is_lenient)
    return ShapeField(place, lengths, {}, write_record, b"\4" if has_texts else branch)


def _checked(write: WriteValue, path: str) -> WriteValue:
    """Return `write` with the path in its errors; without a path, a number that does not fit is `None`."""

    def write_number(value: Any) -> bytes | None:
        try:
            return write(value)
        except InexactNumber as error:
            if not path:
                return None
            raise InexactNumber(f"the field {path}: {error}") from None

    return write_number
