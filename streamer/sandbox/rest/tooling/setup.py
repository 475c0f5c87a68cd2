"""Setup of the org's channels: reads the channels as Tooling objects, and changes them."""

from dataclasses import dataclass, replace

from streamer.sandbox.org.channels import ALL_CHANGES, EventFilter, OrgChannel
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.record_ids import IdSequence
from streamer.sandbox.org.schema import change_event_of, changed_type

DEFAULT_CHANNEL = "ChangeEvents"
"""Name of the channel of all selected entities; it is not a custom channel, and can't be created."""

CHANNEL_PREFIX, MEMBER_PREFIX = "0YL", "0v8"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformEventChannel:
    """A custom channel; `kind` is `data` or `event`, and `name` ends in `__chn`."""

    id: str
    name: str
    kind: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformEventChannelMember:
    """An entity or a platform event on a channel.

    `selected` is `AccountChangeEvent` for the changes of `Account`.
    """

    id: str
    full_name: str
    channel: str
    selected: str
    enriched: tuple[str, ...]
    filter: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    id: str
    full_name: str


class ChannelAdministration:
    """Reads and changes the channels of an org.

    This object keeps no copy of the channels, so a newly declared schema takes effect
    here at once. A channel or member keeps its id as long as it exists.
    """

    def __init__(self, org: SandboxOrg) -> None:
        self._org = org
        self._ids = IdSequence()
        self._known: dict[tuple[str, str], _Identity] = {}

    def channels(self) -> tuple[PlatformEventChannel, ...]:
        """Return the custom channels."""
        self._forget()
        found = ((each, *_parts(each.path)) for each in self._custom())
        return tuple(
            PlatformEventChannel(
                id=self._identity(each.path, "", CHANNEL_PREFIX, name).id,
                name=name,
                kind=kind,
                label=each.label or name.removesuffix("__chn"),
            )
            for each, kind, name in found
        )

    def members(self) -> tuple[PlatformEventChannelMember, ...]:
        """Return the members of all channels; members of the default channel come first."""
        self._forget()
        return tuple(
            self._member(settings, entity)
            for settings in (self._default(), *self._custom())
            for entity in sorted(settings.members or ())
        )

    def create_channel(self, name: str, kind: str, label: str | None) -> str:
        """Create a custom channel without members, and return its id."""
        path = f"/{kind}/{name}"
        self._put(OrgChannel(path=path, label=label, members=frozenset()))
        return self._identity(path, "", CHANNEL_PREFIX, name).id

    def rename_channel(self, channel: PlatformEventChannel, label: str) -> None:
        """Give a custom channel another label."""
        self._put(replace(self._settings(channel.name), label=label))

    def delete_channel(self, channel: PlatformEventChannel) -> None:
        """Delete a custom channel with its members (Tooling API guide, PlatformEventChannel)."""
        gone = self._settings(channel.name).path
        channels = self._org.channels
        others = [each for each in channels.settings if each.path != gone]
        channels.configure(others, None if channels.is_usual else channels.selected)

    def put_member(
        self,
        full_name: str,
        channel: str,
        entity: str,
        enriched: tuple[str, ...],
        filter_: EventFilter | None,
    ) -> str:
        """Add an entity with its enriched fields and its filter to a channel, or change the member.

        Return the member's id.
        """
        before = self._without(self._settings(channel), entity)
        after = replace(
            before,
            members=(before.members or frozenset()) | {entity},
            enriched_fields={**before.enriched_fields, **({entity: enriched} if enriched else {})},
            filters={**before.filters, **({entity: filter_} if filter_ else {})},
        )
        self._put(after)
        return self._identity(after.path, entity, MEMBER_PREFIX, full_name).id

    def delete_member(self, member: PlatformEventChannelMember) -> None:
        """Remove an entity from a channel."""
        self._put(self._without(self._settings(member.channel), entity_of(member.selected)))

    def _member(self, settings: OrgChannel, entity: str) -> PlatformEventChannelMember:
        kind, channel = _parts(settings.path)
        selected = entity if kind == "event" else change_event_of(entity)
        usual = f"{channel}_{selected}".replace("__", "_")
        identity = self._identity(settings.path, entity, MEMBER_PREFIX, usual)
        known = settings.filters.get(entity)
        return PlatformEventChannelMember(
            id=identity.id,
            full_name=identity.full_name,
            channel=channel,
            selected=selected,
            enriched=settings.enriched_fields.get(entity, ()),
            filter=known.text if known else None,
        )

    def _put(self, settings: OrgChannel) -> None:
        channels = self._org.channels
        by_path = {each.path: each for each in channels.settings} | {settings.path: settings}
        selected = None if channels.is_usual else channels.selected
        if settings.path == ALL_CHANGES and settings.members != channels.selected:
            selected = settings.members
        channels.configure(by_path.values(), selected)

    @staticmethod
    def _without(settings: OrgChannel, entity: str) -> OrgChannel:
        return replace(
            settings,
            members=(settings.members or frozenset()) - {entity},
            enriched_fields={name: each for name, each in settings.enriched_fields.items() if name != entity},
            filters={name: each for name, each in settings.filters.items() if name != entity},
        )

    def _settings(self, channel: str) -> OrgChannel:
        if channel == DEFAULT_CHANNEL:
            return self._default()
        return next(each for each in self._custom() if _parts(each.path)[1] == channel)

    def _default(self) -> OrgChannel:
        channels = self._org.channels
        known = next((each for each in channels.settings if each.path == ALL_CHANGES), None)
        return replace(known or OrgChannel(path=ALL_CHANGES), members=channels.selected)

    def _custom(self) -> tuple[OrgChannel, ...]:
        return tuple(each for each in self._org.channels.settings if each.path.endswith("__chn"))

    def _identity(self, path: str, entity: str, prefix: str, full_name: str) -> _Identity:
        key = (path, entity)
        if key not in self._known:
            self._known[key] = _Identity(id=self._ids.issue(prefix), full_name=full_name)
        return self._known[key]

    def _forget(self) -> None:
        """Drop the ids of removed channels and members, so that a namesake gets another id."""
        present = {(each.path, "") for each in self._custom()}
        for settings in (self._default(), *self._custom()):
            present |= {(settings.path, entity) for entity in settings.members or ()}
        self._known = {key: known for key, known in self._known.items() if key in present}


def entity_of(selected: str) -> str:
    """Return the type, or the platform event, that a member selects."""
    return changed_type(selected) or selected


def _parts(path: str) -> tuple[str, str]:
    """Return the kind and the name of a channel's path."""
    _, kind, name = path.split("/", 2)
    return kind, name
