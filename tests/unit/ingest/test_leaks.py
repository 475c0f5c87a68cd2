"""Properties of protection: for any rules and any message, no protected value is in the stored bytes.

Which values are protected is decided here by rules of its own, over the few
fields that the messages have.
"""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from streamer.events import Channel
from streamer.settings import ProtectionSettings, ProtectRule
from tests.messages import CHANGES, ORG, batch, change, order
from tests.unit.ingest.test_protection import World
from tests.unit.protection.rules import KEY

ORDERS = Channel(org=ORG, path="/event/Order_Placed__e")
NOTES = Channel(org=ORG, path="/u/Notes")
TOPIC = Channel(org=ORG, path="/topic/People")

# The names by which rules can mean each field.
NAMES: Mapping[str, Sequence[str]] = {
    "Email": ["Email"],
    "Phone": ["Phone"],
    "Secret__c": ["Secret__c"],
    "Name.FirstName": ["Name.FirstName", "Name", "FirstName"],
    "Name.LastName": ["Name.LastName", "Name", "LastName"],
    "MailingAddress.City": ["MailingAddress.City", "MailingAddress", "MailingCity"],
    "MailingCity": ["MailingCity", "MailingAddress.City", "MailingAddress"],
    "LastName": ["LastName", "Name.LastName", "Name"],
}
PATTERNS = sorted(
    {name for names in NAMES.values() for name in names} | {"*", "*Name", "Mailing*", "*.City", "e*l"}
)
ENTITIES = ["*", "Contact", "Lead", "Order_Placed__e", "Notes", "People", "*o*"]

RULES = st.lists(
    st.builds(
        lambda entity, fields, how, normalise, keep_last: ProtectRule.model_validate(
            {"entity": entity, "fields": fields, "how": how}
            | ({"normalise": normalise} if how == "hash" else {})
            | ({"keep_last": keep_last} if how == "mask" else {})
        ),
        st.lists(st.sampled_from(ENTITIES), min_size=1, max_size=2),
        st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3),
        st.sampled_from(["drop", "mask", "hash", "keep"]),
        st.lists(st.sampled_from(["trim", "lower"]), max_size=2),
        st.integers(0, 6),
    ),
    max_size=4,
)
KEYS = st.sampled_from(
    [
        ProtectionSettings.model_validate({"key": KEY}),
        ProtectionSettings.model_validate({"key": KEY[::-1], "key_id": "k2"}),
    ]
)

# One value of each kind for each field, so that no two are equal, and no mask shows an end of them.
ENDS = ["", " ", "ø", '"', "\\", "\n", "\u2028", "😀", "X"]


def valued(drawn: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Return the fields that were drawn, each with a value of its kind."""
    values: dict[str, Any] = {}
    for number, (path, (kind, end)) in enumerate(sorted(drawn.items())):
        text = f"{end}<value of {path}>{end}"
        by_kind = {"text": text, "number": 10**15 + number, "list": [text, f"{text}2"], "null": None}
        values[path] = by_kind[kind]
    return values


FIELDS = st.dictionaries(
    st.sampled_from(sorted(NAMES)),
    st.tuples(st.sampled_from(["text", "number", "list", "null"]), st.sampled_from(ENDS)),
    max_size=6,
).map(valued)
KINDS = st.sampled_from(["change", "order", "topic", "payload", "text"])


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return `fields` with the parts of compound fields in these."""
    whole: dict[str, Any] = {}
    for path, value in fields.items():
        name, _, part = path.partition(".")
        if part:
            whole.setdefault(name, {})[part] = value
        else:
            whole[name] = value
    return whole


def message(kind: str, fields: Mapping[str, Any], replay_id: int = 1) -> tuple[Channel, str, dict[str, Any]]:
    """Return a channel, an entity and a message with `fields`."""
    about = {"createdDate": "2025-01-01T00:00:00.173Z", "replayId": replay_id, "type": "created"}
    whole = nested(fields)
    match kind:
        case "change":
            return CHANGES, "Contact", change(replay_id, "003A", "003B", entity="Contact", **whole)
        case "order":
            return ORDERS, "Order_Placed__e", order(replay_id, **whole)
        case "topic":
            return TOPIC, "People", {"data": {"event": about, "sobject": whole}}
    payload = orjson.dumps(whole).decode() if kind == "text" else whole
    return NOTES, "Notes", {"data": {"event": about, "payload": payload}}


def is_protected(rules: Sequence[ProtectRule], entity: str, path: str) -> bool:
    """Return whether the first rule that names the field does more than keep it."""
    for each in rules:
        if any(fnmatchcase(entity.lower(), pattern.lower()) for pattern in each.entity or ()) and any(
            fnmatchcase(name.lower(), pattern.lower()) for pattern in each.fields for name in NAMES[path]
        ):
            return each.how != "keep"
    return False


def is_told(stored: bytes, fields: Mapping[str, Any], path: str) -> bool:
    """Return whether the value of a field is in what is stored."""
    value = fields[path]
    return (f"<value of {path}>" if type(value) in {str, list} else str(value)) in stored.decode()


@given(rules=RULES, key=KEYS, fields=FIELDS, kind=KINDS)
async def test_event_holds_what_is_open_and_nothing_else(
    rules: list[ProtectRule], key: ProtectionSettings, fields: dict[str, Any], kind: str
) -> None:
    """In every kind of event."""
    channel, entity, sent = message(kind, fields)
    world = World(rules=rules, settings=key, channel=channel)
    await world.run(batch(sent, channel=channel))

    assert len(world.log.events) == (2 if kind == "change" else 1)
    for path in (path for path, value in fields.items() if value is not None):
        assert is_told(world.stored, fields, path) is not is_protected(rules, entity, path), path


@given(rules=RULES, key=KEYS, fields=FIELDS, kind=KINDS, data=st.data())
async def test_message_that_is_torn_or_wrong_leaves_no_protected_value(
    rules: list[ProtectRule], key: ProtectionSettings, fields: dict[str, Any], kind: str, data: st.DataObject
) -> None:
    """Whatever is missing in it, or is of another type."""
    channel, entity, sent = message(kind, fields)
    spoilt = data.draw(spoilt_versions(sent))
    world = World(rules=rules, settings=key, channel=channel)
    await world.run(batch(spoilt, channel=channel))

    # An event that says that it is of another entity is of that one.
    if any(event.type.split(".")[2] != entity for event in world.log.events):
        return
    for path in (path for path, value in fields.items() if value is not None):
        assert not (is_protected(rules, entity, path) and is_told(world.stored, fields, path)), path


def spoilt_versions(sent: Any) -> st.SearchStrategy[Any]:
    """Return versions of a message in which one part is missing, or stands in for another."""
    places = list(_places(sent, ()))
    others: list[Any] = [None, 0, [], {}, "text"]
    return st.builds(_spoilt, st.just(sent), st.sampled_from(places), st.sampled_from([_GONE, *others]))


_GONE = object()


def _places(value: Any, place: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if place:
        yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield from _places(each, (*place, name))


def _spoilt(sent: Any, place: tuple[str | int, ...], other: Any) -> Any:
    copy = orjson.loads(orjson.dumps(sent))
    *around, last = place
    inner = copy
    for name in around:
        inner = inner[name]
    if other is not _GONE:
        inner[last] = other
    elif isinstance(inner, dict):
        del inner[last]
    return copy
