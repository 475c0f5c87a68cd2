"""A change that fastavro writes, under any schema, is read as the same change.

`AVRO_CASES` chooses another number of drawn changes than 100.
"""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.salesforce.pubsub.avro.samples import (
    CHANGE_TYPES,
    Avro,
    change_schema,
    header,
    parsed,
    written,
)

CASES = int(os.environ.get("AVRO_CASES", "100"))
MANY = settings(
    max_examples=CASES,
    deadline=None,
    database=None,
    derandomize="AVRO_CASES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)

BITMAPS = ("changedFields", "nulledFields", "diffFields")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MS = 86_400_000
UNCHANGED, CLEARED, CHANGED = "unchanged", "cleared", "changed"
ENRICHED, DIFFERENT, IN_PARTS = "enriched", "different", "in parts"

TEXTS = st.text(max_size=6) | st.sampled_from(["x" * 63, "x" * 64, "é" * 5_000, "\0", "0x01"])
MILLISECONDS = st.integers(-8_520_336_000_000, 64_060_588_799_999)

VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "string": TEXTS,
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "DateTime": MILLISECONDS,
    "DateOnly": MILLISECONDS.map(lambda ms: ms // DAY_MS * DAY_MS),
    "enum": st.sampled_from(["RED", "GREEN"]),
    "list": st.lists(TEXTS, max_size=3),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A drawn field: its name, its kind, and its parts if it is a compound field."""

    name: str
    kind: str
    is_required: bool = False
    parts: "tuple[Slot, ...]" = ()

    def avro(self, numbers: Iterator[int]) -> Avro:
        """Return the field's definition; `numbers` makes the names of its types."""
        parts = [part.avro(numbers) for part in self.parts]
        record = {"type": "record", "name": f"R{next(numbers)}", "fields": parts}
        doc = ""
        match self.kind:
            case "compound":
                types: list[Any] = [record]
            case "name":
                types = ["string", record]
            case "enum":
                types = [{"type": "enum", "name": f"E{next(numbers)}", "symbols": ["RED", "GREEN"]}]
            case "list":
                types = [{"type": "array", "items": "string"}]
            case "DateTime" | "DateOnly":
                types, doc = ["long"], f"Data:{self.kind}:00N1"
            case kind:
                types = [kind]
        if not self.is_required:
            types = ["null", *types]
        return {"name": self.name, "type": types if types[1:] else types[0], "doc": doc}

    def json(self, value: Any) -> Any:
        """Return a value as CometD carries it."""
        if isinstance(value, dict):
            return {part.name: part.json(value[part.name]) for part in self.parts if part.name in value}
        moment = EPOCH + timedelta(milliseconds=value) if self.kind.startswith("Date") else EPOCH
        match self.kind:
            case "DateTime":
                return f"{moment:%Y-%m-%dT%H:%M:%S}.{value % 1000:03d}Z"
            case "DateOnly":
                return f"{moment:%Y-%m-%d}"
            case _:
                return value


def avro(fields: Sequence[Slot]) -> list[Avro]:
    """Return the definitions of an event's fields."""
    numbers = itertools.count()
    return [slot.avro(numbers) for slot in fields]


@st.composite
def slots(draw: st.DrawFn, depth: int = 0) -> tuple[Slot, ...]:
    """Draw the fields of an event, or the parts of a compound field."""
    kinds = [*VALUES, *(["compound", "name"] if depth < 2 else [])]
    found = []
    for number, kind in enumerate(draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=10))):
        parts = draw(slots(depth + 1)) if kind in ("compound", "name") else ()
        found.append(
            Slot(name=f"F{number}__c", kind=kind, is_required=draw(st.integers(0, 5)) == 0, parts=parts)
        )
    return tuple(found)


@dataclass(slots=True, kw_only=True)
class Change:
    """A drawn change: what Avro says, and what CometD says."""

    values: dict[str, Any]
    fields: dict[str, Any]
    changed: list[str]
    nulled: list[str]
    differing: list[str]


@st.composite
def values_of(draw: st.DrawFn, fields: Sequence[Slot]) -> dict[str, Any]:
    """Draw values for the required fields, and for some of the others."""
    return {slot.name: _value(draw, slot) for slot in fields if slot.is_required or draw(st.booleans())}


def _value(draw: st.DrawFn, slot: Slot) -> Any:
    if slot.parts and (slot.kind == "compound" or draw(st.booleans())):
        return draw(values_of(slot.parts))
    return draw(VALUES["string" if slot.kind == "name" else slot.kind])


@st.composite
def changes(draw: st.DrawFn, fields: Sequence[Slot], kind: str, prefix: str = "") -> Change:
    """Draw a state for each field: unchanged, cleared, changed, enriched, or sent as a difference."""
    change = Change(values={}, fields={}, changed=[], nulled=[], differing=[])
    for slot in fields:
        name = f"{prefix}{slot.name}"
        state = draw(st.sampled_from(_states(slot, is_part=bool(prefix))))
        if state == IN_PARTS:
            _add_parts(change, slot, draw(changes(slot.parts, kind, f"{slot.name}.")))
            continue
        if state in (CLEARED, CHANGED, DIFFERENT):
            change.changed.append(name)
        if state == CLEARED:
            change.nulled.append(name)
            if kind == "UPDATE":
                change.fields[slot.name] = None
        elif state != UNCHANGED:
            value = change.values[slot.name] = _value(draw, slot)
            shown = _without_empty(slot.json(value))
            if state == DIFFERENT:
                change.differing.append(name)
                shown = {"diff": shown}
            if shown != {}:
                change.fields[slot.name] = shown
    return change


def _states(slot: Slot, *, is_part: bool) -> list[str]:
    states = [CHANGED, ENRICHED]
    if not slot.is_required:
        states += [UNCHANGED, UNCHANGED, CLEARED]
    if slot.kind == "string":
        states.append(DIFFERENT)
    if slot.parts and not is_part:
        states += [IN_PARTS, IN_PARTS]
    return states


def _add_parts(change: Change, slot: Slot, within: Change) -> None:
    # A compound field that is null in Avro can still have cleared parts.
    if within.values or slot.is_required:
        change.values[slot.name] = within.values
    if within.fields:
        change.fields[slot.name] = within.fields
    change.changed += within.changed
    change.nulled += within.nulled
    change.differing += within.differing


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _without_empty(part) for name, part in value.items()}
    return {name: part for name, part in inner.items() if part != {}}


def bitmaps(fields: Sequence[Slot], marked: Sequence[str], *, lower: bool) -> list[str]:
    """Return the bitmaps that stand for the names `marked`."""

    def bitmap(bits: int) -> str:
        digits = f"{bits:x}"
        digits = digits.zfill(len(digits) + len(digits) % 2)
        return f"0x{digits if lower else digits.upper()}"

    # The header is field 0.
    top = sum(1 << index for index, slot in enumerate(fields, 1) if slot.name in marked)
    found = [bitmap(top)] if top else []
    for index, slot in enumerate(fields, 1):
        bits = sum(1 << bit for bit, part in enumerate(slot.parts) if f"{slot.name}.{part.name}" in marked)
        if bits:
            found.append(f"{index}-{bitmap(bits)}")
    return found


KINDS = st.lists(st.sampled_from([*CHANGE_TYPES, *["UPDATE"] * 8]), min_size=1, max_size=3)


@MANY
@given(fields=slots(), kinds=KINDS, data=st.data())
def test_change_is_read_as_it_was_written(
    fields: tuple[Slot, ...], kinds: list[str], data: st.DataObject
) -> None:
    """Fields, cleared fields and differences are the change's own, whatever was read before."""
    schema = change_schema(*avro(fields))
    reader = parsed(schema)
    for kind in kinds:
        change = data.draw(changes(fields, kind))
        lower = data.draw(st.booleans())
        about = header(
            kind,
            changedFields=bitmaps(fields, change.changed, lower=lower),
            nulledFields=bitmaps(fields, change.nulled, lower=lower),
            diffFields=bitmaps(fields, change.differing, lower=lower),
            recordIds=data.draw(st.lists(TEXTS, max_size=3)),
            commitNumber=data.draw(VALUES["long"]),
        )

        payload = reader.decode(written(schema, {"ChangeEventHeader": about, **change.values}))

        read = payload.pop("ChangeEventHeader")
        assert payload == change.fields
        assert sorted(read.pop("changedFields")) == sorted(change.changed)
        assert read == {name: value for name, value in about.items() if name not in BITMAPS}


@MANY
@given(fields=slots(), data=st.data())
def test_platform_event_is_read_as_it_was_written(fields: tuple[Slot, ...], data: st.DataObject) -> None:
    """With all of its fields, null where they are unset."""
    schema = {"type": "record", "name": "Drawn__e", "fields": avro(fields)}
    values = data.draw(values_of(fields))

    payload = parsed(schema).decode(written(schema, values))

    assert payload == {slot.name: _whole(slot, values.get(slot.name)) for slot in fields}


def _whole(slot: Slot, value: Any) -> Any:
    if isinstance(value, dict):
        return {part.name: _whole(part, value.get(part.name)) for part in slot.parts}
    return None if value is None else slot.json(value)
