"""Paths of channels: kinds, names, and the retention of events."""

import re
from collections.abc import Sequence
from enum import StrEnum

ALL_CHANGES = "/data/ChangeEvents"
"""Path of the channel of all selected entities."""

_HOUR_S = 3600.0
_CHANGE_EVENT = "ChangeEvent"
_CUSTOM_OBJECT = "__c"
_NO_WORD = re.compile(r"\W", re.ASCII)


class ChannelKind(StrEnum):
    """Kind of a channel: the first part of its path."""

    CHANGES = "data"
    """Change Data Capture."""
    EVENTS = "event"
    """Platform events, including standard events and events of Real-Time Event Monitoring."""
    PUSH_TOPIC = "topic"
    GENERIC = "u"
    OUTBOUND = "outbound"
    """Outbound messages, which Salesforce sends to Streamer."""

    @classmethod
    def of(cls, path: str) -> "ChannelKind":
        """Return the kind of the channel at `path`; an unknown path counts as a platform event."""
        return _BY_ROOT.get(path[1:].partition("/")[0], cls.EVENTS)

    @property
    def retention_s(self) -> float:
        """Time in seconds for which Salesforce retains events (Streaming API guide, message durability).

        Outbound messages are repeated during this time (SOAP API guide,
        understanding notifications).
        """
        return (24 if self in _KEPT_FOR_A_DAY else 72) * _HOUR_S

    @property
    def is_on_pubsub(self) -> bool:
        """True if the Pub/Sub API also serves the channel; the API's guide names `/data` and `/event`."""
        return self in {ChannelKind.CHANGES, ChannelKind.EVENTS}

    @property
    def is_keyed(self) -> bool:
        """True if a `key` field can order the channel's events; other channels order events by record."""
        return self in {ChannelKind.EVENTS, ChannelKind.GENERIC}


_KEPT_FOR_A_DAY = frozenset({ChannelKind.PUSH_TOPIC, ChannelKind.GENERIC, ChannelKind.OUTBOUND})
_BY_ROOT = {str(kind): kind for kind in ChannelKind}


def without_filter(path: str) -> str:
    """Return `path` without the filter of a PushTopic: `/topic/X` for `/topic/X?Status__c='Open'`."""
    return path.partition("?")[0]


def name_in_type(path: str) -> str:
    """Return the name of a PushTopic or a generic channel in the types of its events.

    The name is one word, like the name of an entity: `notifications_Demo` for
    `/u/notifications/Demo`.
    """
    return _NO_WORD.sub("_", without_filter(path).split("/", 2)[2])


def change_channel(entity: str) -> str:
    """Return the path of the channel that carries the changes of one object.

    It is `/data/AccountChangeEvent` for `Account`, and `/data/Invoice__ChangeEvent`
    for `Invoice__c` (CDC guide, subscription channels).
    """
    custom = entity.endswith(_CUSTOM_OBJECT)
    return f"/data/{entity[:-1] if custom else entity}{_CHANGE_EVENT}"


def changed_entity(path: str) -> str | None:
    """Return the object whose changes the channel at `path` carries; `None` if it carries several objects."""
    name = path.rpartition("/")[2]
    stem = name.removesuffix(_CHANGE_EVENT)
    if ChannelKind.of(path) is not ChannelKind.CHANGES or not stem or stem == name:
        return None
    return f"{stem}c" if stem.endswith("__") else stem


def carrier_of(entity: str, paths: Sequence[str]) -> str | None:
    """Return the channel in `paths` that carries the changes of `entity`, or `None`.

    It is the entity's own channel, else the channel of all changes, else the first
    custom channel.
    """
    of_changes = [path for path in paths if ChannelKind.of(path) is ChannelKind.CHANGES]
    custom = [path for path in of_changes if changed_entity(path) is None]
    wanted = (change_channel(entity), ALL_CHANGES, *custom)
    return next((path for path in wanted if path in of_changes), None)
