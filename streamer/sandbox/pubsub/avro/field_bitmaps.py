"""Bitmaps that stand for the names of fields in a change event's header.

Bit i stands for field i of the schema, and `4-0x01` stands for the first component of
field 4 (Pub/Sub API guide, event deserialization considerations).
"""

from collections.abc import Iterable
from typing import Any

from streamer.sandbox.org.definitions.avro import Avro

_MOST_KEPT = 1_000


class BitmapEncoder:
    """Turns names of the fields of one schema into bitmaps."""

    def __init__(self, schema: Avro) -> None:
        named: dict[str, Avro] = {}
        self._positions: dict[str, tuple[int, dict[str, int]]] = {}
        for index, field in enumerate(schema["fields"]):
            parts = _parts(field["type"], named)
            self._positions[field["name"]] = (index, {part: at for at, part in enumerate(parts)})
        self._known: dict[tuple[str, ...], list[str]] = {}

    def of(self, names: Iterable[str]) -> list[str]:
        """Return the bitmaps of `names`, such as `Phone` and `BillingAddress.City`.

        Raises `KeyError` for a name that the schema does not have.
        """
        key = tuple(names)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            found = self._known[key] = self._bitmaps(key)
        return found

    def _bitmaps(self, names: Iterable[str]) -> list[str]:
        top, nested = 0, dict[int, int]()
        for name in names:
            field, _, part = name.partition(".")
            index, parts = self._positions[field]
            if part:
                nested[index] = nested.get(index, 0) | 1 << parts[part]
            else:
                top |= 1 << index
        whole = [_hexadecimal(top)] if top else []
        return whole + [f"{index}-{_hexadecimal(bits)}" for index, bits in sorted(nested.items())]


def _parts(kinds: Any, named: dict[str, Avro]) -> list[str]:
    """Return the components of a compound field.

    An earlier field can have defined the field's record type.
    """
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        name = kind if isinstance(kind, str) else kind.get("name", "")
        if isinstance(kind, dict) and kind["type"] == "record":
            named[name] = kind
        if name in named:
            return [field["name"] for field in named[name]["fields"]]
    return []


def _hexadecimal(bits: int) -> str:
    # Clients parse only an even number of digits, in upper case.
    digits = f"{bits:X}"
    return f"0x{'0' * (len(digits) % 2)}{digits}"
