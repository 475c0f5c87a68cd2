"""Setup of an org's channels: the custom channels, and the members of all channels."""

from collections.abc import Iterable
from dataclasses import dataclass

from streamer.salesforce.tooling.names import DEFAULT_CHANNEL, entity_of, is_change_event

ENTITIES_WITHOUT_ADD_ON = 5
"""Entities that an org without an add-on can select, on all channels together (CDC guide, allocations)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomChannel:
    """A custom channel; `kind` is `data` for changes or `event` for platform events."""

    id: str
    name: str
    kind: str
    label: str

    @property
    def path(self) -> str:
        """Path by which it is subscribed to."""
        return f"/{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelMember:
    """An entity or a platform event on a channel.

    `full_name` is its own name, and `selected` that of its events, such as
    `AccountChangeEvent`. The values of the `enriched` fields, which are in the
    order of their names, come with each update and deletion. Events that do not
    match the `filter` are not sent.
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

    Names are found in any letter case, as Salesforce reads them.
    """

    channels: tuple[CustomChannel, ...] = ()
    members: tuple[ChannelMember, ...] = ()

    @property
    def entities(self) -> frozenset[str]:
        """The entities that are selected on any channel; each counts once towards the allocation."""
        return frozenset(each.entity for each in self.members if is_change_event(each.selected))

    def channel(self, name: str) -> CustomChannel | None:
        """Return the custom channel of that name, or `None`."""
        return next((each for each in self.channels if _same(each.name, name)), None)

    def kind(self, channel: str) -> str | None:
        """Return the kind of a channel, the default one included, or `None`."""
        if channel == DEFAULT_CHANNEL:
            return "data"
        found = self.channel(channel)
        return found.kind if found else None

    def of(self, channel: str) -> tuple[ChannelMember, ...]:
        """Return the members of a channel."""
        return tuple(each for each in self.members if _same(each.channel, channel))

    def member(self, channel: str, selected: str) -> ChannelMember | None:
        """Return the member of a channel that has events of that name, or `None`."""
        return next((each for each in self.of(channel) if _same(each.selected, selected)), None)

    def carried(self, path: str) -> frozenset[str]:
        """Return the entities and platform events that arrive on the channel at `path`.

        The channel of one entity carries its changes where any channel selects
        it. A platform event arrives on its own channel without a selection, and
        is not among them.
        """
        name = path.rpartition("/")[2]
        if name == DEFAULT_CHANNEL or name.endswith("__chn"):
            return frozenset(each.entity for each in self.of(name))
        return frozenset(each.entity for each in self.members if each.selected == name)


def sorted_members(members: Iterable[ChannelMember]) -> list[ChannelMember]:
    """Return members in the order of a table: those of the default channel first."""
    return sorted(members, key=lambda each: (each.channel != DEFAULT_CHANNEL, each.channel, each.entity))


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower()
