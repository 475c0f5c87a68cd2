"""Decoders of events, which share nothing with ours."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import fastavro


def decoded(schema: Any, payload: bytes) -> dict[str, Any]:
    """Return the payload of an event, with names instead of bitmaps; `schema` is fastavro's."""
    stream = BytesIO(payload)
    found = fastavro.schemaless_reader(stream, schema, None)
    assert stream.read() == b""
    assert isinstance(found, dict)
    header = found.get("ChangeEventHeader")
    if isinstance(header, dict):
        for name in ("changedFields", "nulledFields", "diffFields"):
            header[name] = list(field_names(schema, header[name]))
    return found


def field_names(schema: Any, bitmaps: list[str]) -> Iterator[str]:
    """Yield the names of the fields that bitmaps stand for."""
    fields = schema["fields"]
    for bitmap in bitmaps:
        parent, _, bits = bitmap.rpartition("-")
        if not parent:
            yield from (each["name"] for each in _marked(fields, bits))
        else:
            compound = fields[int(parent)]
            record = next(each for each in compound["type"] if each != "null")
            if isinstance(record, str):
                record = next(
                    kind
                    for other in fields
                    for kind in (other["type"] if isinstance(other["type"], list) else ())
                    if isinstance(kind, dict) and kind["name"] == record
                )
            yield from (f"{compound['name']}.{each['name']}" for each in _marked(record["fields"], bits))


def _marked(fields: list[Any], bits: str) -> Iterator[Any]:
    number = int(bits, 16)
    assert bits.startswith("0x")
    assert len(bits) % 2 == 0
    assert bits[2:] == bits[2:].upper()
    yield from (each for at, each in enumerate(fields) if number >> at & 1)
