"""Event types that a channel carries, and the search for patterns without a match."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from streamer.channel_paths import ChannelKind, change_channel, changed_entity, name_in_type

KINDS = ("created", "updated", "deleted", "undeleted", "gap", "snapshot")
"""Last parts of the types of change events."""

_NOTIFIED = KINDS[:4]
_OF_RECORDS = ("record_id", "entity", "fields")
_DATA: Mapping[str, tuple[str, ...]] = {
    "cdc": (
        *_OF_RECORDS,
        *("change", "changed_fields", "nulled_fields", "diff_fields", "reread", "transaction"),
        *("recovered", "snapshot"),
    ),
    "topic": (*_OF_RECORDS, "change"),
    "event": ("entity", "fields"),
    "generic": ("entity", "payload"),
    "outbound": (*_OF_RECORDS, "organization_id", "action_id"),
}
_OF_ANY_EVENT = ("redriven", "test")
_ANY_RUN = "*"
# A character that occurs in no pattern and no type.
_ANY_NAME = "\0"
_WORD = re.compile(r"\w")
_NAME = re.compile(r"[^\W\d]\w*")
_PARTS: dict[str, tuple[str, ...]] = {"cdc": KINDS, "topic": _NOTIFIED}
_OF_A_TYPE = frozenset({"salesforce", "cdc", "event", "topic", "generic", "outbound", *KINDS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """Events of one channel.

    `kind` is the second part of the event types: cdc, event, topic, generic or
    outbound. `name` is the only entity, event, PushTopic or generic channel; `None`
    means any.
    """

    kind: str
    name: str | None

    @classmethod
    def by(cls, path: str) -> "Carried":
        """Return the events that the channel at `path` carries."""
        match ChannelKind.of(path):
            case ChannelKind.CHANGES:
                return cls(kind="cdc", name=changed_entity(path))
            case ChannelKind.PUSH_TOPIC:
                return cls(kind="topic", name=name_in_type(path))
            case ChannelKind.GENERIC:
                return cls(kind="generic", name=name_in_type(path))
            case ChannelKind.OUTBOUND:
                return cls(kind="outbound", name=None)
            case ChannelKind.EVENTS:
                name = path.rpartition("/")[2]
                return cls(kind="event", name=None if name.endswith("__chn") else name)

    def types(self, name: str) -> Iterator[str]:
        """Yield the types of these events; `name` replaces a name that is not fixed."""
        head = f"salesforce.{self.kind}.{self.name or name}"
        parts = _PARTS.get(self.kind)
        return iter([head]) if parts is None else (f"{head}.{part}" for part in parts)

    def can_match(self, pattern: str) -> bool:
        """Return true when `pattern` matches a type of these events."""
        return any(_can_match(pattern, each) for each in self.types(_ANY_NAME))


ANYTHING = tuple(Carried(kind=kind, name=None) for kind in ("cdc", "event", "topic", "generic", "outbound"))
"""Events of all possible channels."""


def data_names(patterns: Iterable[str] = (_ANY_RUN,)) -> frozenset[str]:
    """Return the member names that `data` can have in events that one of `patterns` matches."""
    wanted = list(patterns)
    kinds = {each.kind for each in ANYTHING if any(map(each.can_match, wanted))} or _DATA.keys()
    return frozenset(_OF_ANY_EVENT).union(*(_DATA[kind] for kind in kinds))


def nearest(pattern: str, carried: Iterable[Carried]) -> str:
    """Return the most similar pattern that matches a type in `carried`, or an empty text."""
    candidates = sorted({each for carrier in carried for each in _candidates(pattern, carrier)})
    return next(iter(difflib.get_close_matches(pattern, candidates, n=1, cutoff=0.0)), "")


def channel_for(pattern: str) -> str:
    """Return the path of a channel with types that `pattern` matches, or an empty text."""
    found = re.match(rf"salesforce\.(cdc|event|topic|generic)\.({_NAME.pattern})(?:\.|$)", pattern)
    match found.groups() if found else ():
        case "cdc", name:
            return change_channel(name)
        case "event", name if name.endswith("__e") or "_" not in name:
            # A standard event's name is one word.
            return f"/event/{name}"
        case "topic", name:
            return f"/topic/{name}"
        case "generic", name if "_" not in name:
            # An underscore in the type could be any character in the path except a letter.
            return f"/u/{name}"
    return ""


def _candidates(pattern: str, carrier: Carried) -> Iterator[str]:
    for name in [carrier.name] if carrier.name else _names(pattern, carrier.kind):
        yield from carrier.types(name)
        if carrier.kind in _PARTS:
            yield f"salesforce.{carrier.kind}.{name}.*"


def _names(pattern: str, kind: str) -> Iterator[str]:
    """Yield the names in `pattern` that can be entities or, for the kind `event`, platform events."""
    for name in _NAME.findall(pattern):
        if name.lower() not in _OF_A_TYPE and name.endswith("__e") == (kind == "event"):
            # A standard object's name begins with a capital letter.
            yield name if "__" in name else name[0].upper() + name[1:]
    if _ANY_RUN in pattern or not _NAME.search(pattern):
        yield _ANY_RUN


def _can_match(pattern: str, event_type: str) -> bool:
    """Return true when `pattern` matches `event_type`, where `_ANY_NAME` means any name."""
    places = _past_stars(pattern, {0})
    for part in event_type:
        places = _step(pattern, part, places)
        while part == _ANY_NAME and not (further := _step(pattern, part, places)) <= places:
            places |= further
    return len(pattern) in places


def _step(pattern: str, part: str, places: set[int]) -> set[int]:
    """Return the positions in `pattern` that follow `places` after the character `part`."""
    reached: set[int] = set()
    for place in places - {len(pattern)}:
        wanted = pattern[place]
        if wanted == _ANY_RUN:
            reached.add(place)
        elif wanted == part or (part == _ANY_NAME and _WORD.match(wanted)):
            reached.add(place + 1)
    return _past_stars(pattern, reached)


def _past_stars(pattern: str, places: set[int]) -> set[int]:
    """Return `places`, and the positions after stars that match no character."""
    reached = set(places)
    for start in places:
        place = start
        while pattern[place : place + 1] == _ANY_RUN:
            place += 1
            reached.add(place)
    return reached
