"""Events of drawn objects and drawn changes tell in Avro what CometD tells in JSON."""

from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.sandbox.faults.armed import ArmedFaults
from streamer.sandbox.org.definitions import parse_schema
from streamer.sandbox.pubsub.avro.events import Events
from streamer.sandbox.pubsub.replay_ids import ReplayIds
from tests.integration.sandbox.pubsub.decoding import decoded
from tests.unit.sandbox.org.world import EVERYTHING, OrgWorld

# Two of them differ in so few lines that Salesforce sends a diff.
LINES = st.sets(st.integers(0, 39), max_size=4).map(
    lambda replaced: "\n".join(
        f"{'new' if at in replaced else 'old'} line {at} of a long text" for at in range(40)
    )
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NUMBERS = st.floats(-1e9, 1e9) | st.integers(-(10**9), 10**9)
MOMENTS = st.integers(-(2**41), 2**43).map(
    lambda ms: f"{EPOCH + timedelta(milliseconds=ms):%Y-%m-%dT%H:%M:%S.%fZ}"
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=20),
    "textarea": LINES | st.text(max_size=20),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "double": NUMBERS,
    "currency": NUMBERS,
    "date": st.dates().map(str),
    "datetime": MOMENTS,
}
STANDARD = {
    "Account": ("BillingCity", "BillingState", "BillingLatitude", "ShippingStreet", "Phone"),
    "Contact": ("FirstName", "Salutation", "MailingCity", "OtherStreet", "Title"),
}


@st.composite
def values(draw: st.DrawFn, kinds: dict[str, str], name: str) -> dict[str, Any]:
    """Return values of some of the fields."""
    chosen = draw(st.lists(st.sampled_from(sorted(kinds)), unique=True)) if kinds else []
    found = {field: draw(st.none() | VALUES[kinds[field]]) for field in chosen}
    standard = draw(st.lists(st.sampled_from(STANDARD[name]), unique=True))
    texts = st.none() | st.text(max_size=10)
    numbers = st.none() | st.floats(-90, 90)
    return found | {field: draw(numbers if field.endswith("itude") else texts) for field in standard}


@given(st.data())
@settings(max_examples=60)
def test_any_change_is_the_same_in_both_forms(data: st.DataObject) -> None:
    """Whatever its fields, types and values, texts that are sent as diffs among them."""
    name = data.draw(st.sampled_from(sorted(STANDARD)))
    kinds = data.draw(
        st.dictionaries(st.from_regex(r"[A-Z][a-z]{0,5}__c", fullmatch=True), st.sampled_from(sorted(VALUES)))
    )
    world = OrgWorld()
    world.org.declare(parse_schema({"objects": {name: {"fields": kinds}}}))
    required = {"Account": {"Name": "A"}, "Contact": {"LastName": "B"}}[name]
    record = world.create(name, **{**data.draw(values(kinds, name)), **required})
    for _ in range(data.draw(st.integers(1, 3))):
        world.update(name, record, **data.draw(values(kinds, name)))

    events = Events(world.org.event_schemas, ReplayIds(world.bus, ArmedFaults(), 8))
    for message in world.bus.after(EVERYTHING, 0):
        event = events.event(message, message.data, default_schema="")
        found: Any = world.org.event_schemas.get(event.event.schema_id)
        schema: Any = fastavro.parse_schema(found)
        told = orjson.loads(message.data)["payload"]
        assert decoded(schema, event.event.payload) == expected(schema, told)
        assert int.from_bytes(event.replay_id, "big") == message.replay_id


def expected(schema: Any, told: dict[str, Any]) -> dict[str, Any]:
    """Return what a decoder makes of the event that CometD tells."""
    header = told.pop("ChangeEventHeader")
    texts = [name for name, value in told.items() if isinstance(value, dict) and set(value) == {"diff"}]
    is_update = header["changeType"] == "UPDATE"
    nulled = [name for name, value in told.items() if value is None] if is_update else []
    for name, value in told.items():
        if isinstance(value, dict) and name not in texts:
            nulled += [f"{name}.{part}" for part, each in value.items() if each is None]
    in_order = Order(schema)
    full: dict[str, Any] = {
        "ChangeEventHeader": {
            **header,
            "changedFields": in_order(header["changedFields"]),
            "nulledFields": in_order(nulled),
            "diffFields": in_order(texts),
        }
    }
    for field in schema["fields"][1:]:
        name = field["name"]
        full[name] = told[name]["diff"] if name in texts else in_order.value(field["type"], told.get(name))
    return full


class Order:
    """The fields of a schema, with those of its compound fields."""

    def __init__(self, schema: Any) -> None:
        self._records = {
            kind["name"]: [part["name"] for part in kind["fields"]]
            for field in schema["fields"][1:]
            for kind in field["type"]
            if isinstance(kind, dict)
        }
        self._names = [field["name"] for field in schema["fields"]]
        self._names += [
            f"{field['name']}.{part}"
            for field in schema["fields"][1:]
            for part in self._parts(field["type"][1])
        ]

    def __call__(self, names: list[str]) -> list[str]:
        """Return the names in the order of their bits."""
        return sorted(names, key=self._names.index)

    def value(self, kinds: Any, value: Any) -> Any:
        """Return a value as Avro has it: times in milliseconds, and compound fields with all parts."""
        parts = self._parts(kinds[1])
        if parts and value is not None:
            return {part: value.get(part) for part in parts}
        if kinds[1] == "long" and isinstance(value, str):
            moment = datetime.fromisoformat(value)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            since = moment - EPOCH
            return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
        return value

    def _parts(self, kind: Any) -> list[str]:
        return self._records.get(kind if isinstance(kind, str) else kind["name"], [])
