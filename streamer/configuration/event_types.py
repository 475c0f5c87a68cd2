"""Event types that a channel carries, and the patterns that match none of them."""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

KINDS = ("created", "updated", "deleted", "undeleted", "gap", "snapshot")
"""Last parts of the types of change events."""

_ANY_RUN = "*"
# Occurs in no pattern and in no type.
_ANY_NAME = "\0"
_WORD = re.compile(r"\w")
_NAME = re.compile(r"[^\W\d]\w*")
_OF_A_TYPE = frozenset({"salesforce", "cdc", "event", "outbound", *KINDS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """Events of one channel: `kind` is cdc, event or outbound, `name` the only entity or event, or `None`."""

    kind: str
    name: str | None

    @classmethod
    def by(cls, path: str) -> "Carried":
        """Return what the channel at `path` carries."""
        _, root, name = path.split("/")
        if root == "outbound":
            return cls(kind="outbound", name=None)
        if root == "event":
            return cls(kind="event", name=None if name.endswith("__chn") else name)
        if name == "ChangeEvents" or not name.endswith("ChangeEvent"):
            return cls(kind="cdc", name=None)
        entity = name.removesuffix("ChangeEvent")
        return cls(kind="cdc", name=f"{entity}c" if entity.endswith("__") else entity)

    def types(self, name: str) -> Iterator[str]:
        """Yield the types of these events; `name` stands for one that is not fixed."""
        head = f"salesforce.{self.kind}.{self.name or name}"
        return (f"{head}.{kind}" for kind in KINDS) if self.kind == "cdc" else iter([head])

    def can_match(self, pattern: str) -> bool:
        """Return true when `pattern` matches a type of these events."""
        return any(_can_match(pattern, each) for each in self.types(_ANY_NAME))


ANYTHING = tuple(Carried(kind=kind, name=None) for kind in ("cdc", "event", "outbound"))
"""Events of all channels that there can be."""


def nearest(pattern: str, carried: Iterable[Carried]) -> str:
    """Return the pattern most like `pattern` that matches a type in `carried`, or an empty text."""
    candidates = sorted({each for carrier in carried for each in _candidates(pattern, carrier)})
    return next(iter(difflib.get_close_matches(pattern, candidates, n=1, cutoff=0.0)), "")


def channel_for(pattern: str) -> str:
    """Return the path of a channel that carries types that `pattern` matches; empty when it names none."""
    found = re.match(rf"salesforce\.(cdc|event)\.({_NAME.pattern})(?:\.|$)", pattern)
    if found is None:
        return ""
    kind, name = found.groups()
    if kind == "event":
        return f"/event/{name}" if name.endswith("__e") else ""
    return f"/data/{name.removesuffix('__c') + '__' if name.endswith('__c') else name}ChangeEvent"


def _candidates(pattern: str, carrier: Carried) -> Iterator[str]:
    for name in [carrier.name] if carrier.name else _names(pattern, carrier.kind):
        yield from carrier.types(name)
        if carrier.kind == "cdc":
            yield f"salesforce.cdc.{name}.*"


def _names(pattern: str, kind: str) -> Iterator[str]:
    """Yield the names in `pattern` that can be those of an entity or, for the kind `event`, of an event."""
    for name in _NAME.findall(pattern):
        if name.lower() not in _OF_A_TYPE and name.endswith("__e") == (kind == "event"):
            # The names of standard objects begin with a capital letter.
            yield name if "__" in name else name[0].upper() + name[1:]
    if _ANY_RUN in pattern or not _NAME.search(pattern):
        yield _ANY_RUN


def _can_match(pattern: str, event_type: str) -> bool:
    """Return true when `pattern` matches `event_type`, in which `_ANY_NAME` stands for any name."""
    places = _past_stars(pattern, {0})
    for part in event_type:
        places = _step(pattern, part, places)
        while part == _ANY_NAME and not (further := _step(pattern, part, places)) <= places:
            places |= further
    return len(pattern) in places


def _step(pattern: str, part: str, places: set[int]) -> set[int]:
    """Return the places in `pattern` that can follow `places` after one character, which is `part`."""
    reached: set[int] = set()
    for place in places - {len(pattern)}:
        wanted = pattern[place]
        if wanted == _ANY_RUN:
            reached.add(place)
        elif wanted == part or (part == _ANY_NAME and _WORD.match(wanted)):
            reached.add(place + 1)
    return _past_stars(pattern, reached)


def _past_stars(pattern: str, places: set[int]) -> set[int]:
    """Return `places`, and those behind stars that match nothing."""
    reached = set(places)
    for start in places:
        place = start
        while pattern[place : place + 1] == _ANY_RUN:
            place += 1
            reached.add(place)
    return reached
