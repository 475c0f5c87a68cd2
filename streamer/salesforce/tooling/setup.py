"""Setup of an org's channels: custom channels, their members, and their names."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from streamer.channel_paths import change_channel, changed_entity
from streamer.errors import ConfigurationError

DEFAULT_CHANNEL = "ChangeEvents"
"""Default channel of all selected entities, `/data/ChangeEvents`; it can't be created or deleted."""

_NAME = re.compile(r"[A-Za-z]\w{0,99}", re.ASCII)
_CHANNEL = re.compile(r"(?:[A-Za-z][A-Za-z0-9]{0,14}__)?[A-Za-z](?:_?[A-Za-z0-9]){0,79}__chn", re.ASCII)
_OF_DATA_360 = re.compile(r"(?:\w{1,15}__)?DataCloudEntities(?:__chn)?", re.ASCII | re.IGNORECASE)
_PATH = re.compile(r"/(?:data|event)/")
ENTITIES_WITHOUT_ADD_ON = 5
"""Number of entities that an org can select on all channels without an add-on (CDC guide, allocations)."""


def change_event(entity: str) -> str:
    """Return the name of an entity's change events: `Invoice__ChangeEvent` for `Invoice__c`.

    A name of change events is returned unchanged. Raises `ConfigurationError` if
    `entity` can't be an entity.
    """
    if entity.endswith("__e"):
        raise ConfigurationError(
            f"{entity} is a platform event, which needs no selection: use `streamer org channels add` "
            "to put the event on a custom channel of type event"
        )
    if _NAME.fullmatch(entity) is None or entity.endswith("__chn"):
        raise ConfigurationError(f"{entity!r} is not the name of an entity, such as Account or Invoice__c")
    if is_change_event(entity):
        return entity
    return change_channel(entity).rpartition("/")[2]


def entity_of(selected: str) -> str:
    """Return the entity of change events by their name; return a platform event's name unchanged."""
    return changed_entity(f"/data/{selected}") or selected


def is_change_event(selected: str) -> bool:
    """Return whether `selected` is a name of change events and not of a platform event."""
    return entity_of(selected) != selected


def event_name(name: str) -> str:
    """Return the name of a platform event. Raises `ConfigurationError` if `name` can't be one."""
    if _NAME.fullmatch(name) is None or name.endswith(("__c", "__chn")) or is_change_event(name):
        raise ConfigurationError(
            f"{name!r} is not the name of a platform event, such as Order_Placed__e; a channel of "
            "type event carries only platform events"
        )
    return name


def channel_name(text: str) -> str:
    """Return the name of a channel that is given by name or path.

    Raises `ConfigurationError`, also for Data 360's channel, which only Data 360
    may change.
    """
    name = _PATH.sub("", text, count=1) if _PATH.match(text) else text
    check_is_ours(name)
    if name != DEFAULT_CHANNEL and _CHANNEL.fullmatch(name) is None:
        raise ConfigurationError(f"{text!r} is not the name of a custom channel, such as Erp__chn")
    return name


def check_is_ours(name: str) -> None:
    """Raise `ConfigurationError` for the channel through which Data 360 reads the org (CDC guide)."""
    if _OF_DATA_360.fullmatch(name):
        raise ConfigurationError(
            f"{name} belongs to Data 360, so Streamer does not change this channel: choose another "
            "channel, or change the data streams in Data 360"
        )


def custom_channel_name(text: str) -> str:
    """Return the name of a custom channel. Raises `ConfigurationError`, also for the default channel."""
    name = channel_name(text)
    if name == DEFAULT_CHANNEL:
        raise ConfigurationError(
            f"{DEFAULT_CHANNEL} is Salesforce's own channel, which always exists: name a custom channel, "
            "such as Erp__chn"
        )
    return name


def member_name(channel: str, selected: str) -> str:
    """Return the full name of a member, in which no two underscores follow each other."""
    return f"{channel}_{selected}".replace("__", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomChannel:
    """A custom channel. `kind` is `data` for changes, or `event` for platform events."""

    id: str
    name: str
    kind: str
    label: str

    @property
    def path(self) -> str:
        """Path at which the channel is subscribed."""
        return f"/{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelMember:
    """An entity or a platform event on a channel.

    `full_name` is the member's own name, and `selected` the name of its events,
    such as `AccountChangeEvent`. Each update and deletion carries the values of
    the `enriched` fields, which are sorted by name. Salesforce sends only events
    that match the `filter`.
    """

    id: str
    full_name: str
    channel: str
    selected: str
    filter: str | None = None
    enriched: tuple[str, ...] = ()

    @property
    def entity(self) -> str:
        """The entity, or the platform event."""
        return entity_of(self.selected)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSetup:
    """The custom channels of an org, and the members of all its channels.

    As at Salesforce, the letter case of names does not matter.
    """

    channels: tuple[CustomChannel, ...] = ()
    members: tuple[ChannelMember, ...] = ()

    @property
    def entities(self) -> frozenset[str]:
        """The entities that any channel selects; each counts once towards the allocation."""
        return frozenset(each.entity for each in self.members if is_change_event(each.selected))

    def channel(self, name: str) -> CustomChannel | None:
        """Return the custom channel with this name, or `None`."""
        return next((each for each in self.channels if _same(each.name, name)), None)

    def kind(self, channel: str) -> str | None:
        """Return the kind of a channel, also of the default channel, or `None` if it does not exist."""
        if channel == DEFAULT_CHANNEL:
            return "data"
        found = self.channel(channel)
        return found.kind if found else None

    def of(self, channel: str) -> tuple[ChannelMember, ...]:
        """Return the members of a channel."""
        return tuple(each for each in self.members if _same(each.channel, channel))

    def member(self, channel: str, selected: str) -> ChannelMember | None:
        """Return the member of the channel whose events have this name, or `None`."""
        return next((each for each in self.of(channel) if _same(each.selected, selected)), None)

    def carried(self, path: str) -> frozenset[str]:
        """Return the entities and platform events that arrive on the channel at `path`.

        Each entity has its own channel, which carries the entity's changes as soon as
        any channel selects the entity. The channel of one platform event needs no
        selection, so this event is not returned.
        """
        name = path.rpartition("/")[2]
        if name == DEFAULT_CHANNEL or name.endswith("__chn"):
            return frozenset(each.entity for each in self.of(name))
        return frozenset(each.entity for each in self.members if each.selected == name)


def sorted_members(members: Iterable[ChannelMember]) -> list[ChannelMember]:
    """Return members in the order of a table; the default channel's members are first."""
    return sorted(members, key=lambda each: (each.channel != DEFAULT_CHANNEL, each.channel, each.entity))


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower()
