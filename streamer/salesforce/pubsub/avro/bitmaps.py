"""Bitmaps of a change event's header, which name the fields that changed.

Pub/Sub API guide, event deserialization considerations: an element `0x…` is a
number whose bit i stands for field i of the event; an element `P-0x…` does the same
for the parts of the compound field P. The first form can be missing when only parts
changed.
"""

import re
from collections.abc import Sequence

from streamer.salesforce.pubsub.avro.definitions import AvroField, AvroRecord, branches_of

_BITMAP = re.compile(r"(?:([0-9]{1,6})-)?0[xX]([0-9A-Fa-f]{1,8192})")
_MOST_KNOWN = 256
_MOST_KNOWN_NAMES = 8_192
_LONGEST_KNOWN = 256


class FieldBitmaps:
    """Finds the names of one schema's fields by the elements of a bitmap.

    The parts of a compound field are named one by one, as `BillingAddress.City`,
    even when all of them are set. An element can also be the name of a field.
    """

    def __init__(self, event: AvroRecord) -> None:
        self._fields = tuple(field.name for field in event.fields)
        # The first field is the header.
        parts = {index: _parts_of(field) for index, field in enumerate(event.fields) if index}
        self._parts = {index: names for index, names in parts.items() if names}
        names = [*self._fields[1:], *(name for names in self._parts.values() for name in names)]
        self._names = {name: (name,) for name in names}
        self._known: dict[str, tuple[str, ...]] = {}
        self._known_names = 0

    def names(self, elements: Sequence[str]) -> list[str]:
        """Return the names in the order of the elements and of the bits.

        Raises `ValueError` for an element that is neither a bitmap nor a name,
        and for bits without a field.
        """
        if len(elements) > len(self._names) + 1:
            raise ValueError(f"{len(elements)} bitmaps for {len(self._names)} fields")
        names: list[str] = []
        for element in elements:
            names += self._known.get(element) or self._named(element)
        return names

    def _named(self, element: str) -> tuple[str, ...]:
        found = self._decoded(element)
        # Programs change the same fields repeatedly, so there are few different bitmaps.
        if len(element) <= _LONGEST_KNOWN:
            if len(self._known) >= _MOST_KNOWN or self._known_names > _MOST_KNOWN_NAMES:
                self._known.clear()
                self._known_names = 0
            self._known[element] = found
            self._known_names += len(found)
        return found

    def _decoded(self, element: str) -> tuple[str, ...]:
        bitmap = _BITMAP.fullmatch(element)
        if bitmap is None:
            if element not in self._names:
                raise ValueError(f"{element[:40]!r} is neither a bitmap nor a field")
            return self._names[element]
        parent, digits = bitmap.groups()
        names = self._fields if parent is None else self._parts.get(int(parent), ())
        bits = int(digits, 16)
        is_header = parent is None and bits & 1
        if is_header or bits >> len(names):
            raise ValueError(f"the bitmap {element[:40]!r} has bits without a field")
        return tuple(name for index, name in enumerate(names) if bits >> index & 1)


def _parts_of(field: AvroField) -> tuple[str, ...]:
    for branch in branches_of(field.type):
        if isinstance(branch, AvroRecord):
            return tuple(f"{field.name}.{part.name}" for part in branch.fields)
    return ()
