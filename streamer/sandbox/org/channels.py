"""Channels of the org, and the selection of the channels that carry a change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from streamer.sandbox.org.schema import Entity, Schema, changed_type

ALL_CHANGES = "/data/ChangeEvents"
STANDARD_EVENTS = frozenset(
    {
        "ApiEventStream",
        "AssetTokenEvent",
        "BatchApexErrorEvent",
        "BulkApi2JobEvent",
        "FlowExecutionErrorEvent",
        "LoginEventStream",
        "LogoutEventStream",
        "PlatformStatusAlertEvent",
        "ReportEventStream",
    }
)
"""Platform events that no administrator defines, including the events of Real-Time Event Monitoring."""


class EventFilter(Protocol):
    """The filter expression of a channel's member."""

    @property
    def text(self) -> str:
        """The expression as it was written."""
        ...

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the event's fields that the filter reads, without the fields of the header."""
        ...

    def matches(self, payload: Mapping[str, Any]) -> bool:
        """Return whether the channel carries an event with this payload."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgChannel:
    """A channel that an administrator created or adjusted, such as `/data/Erp__chn`.

    `members` are record types or, on an `/event/` channel, platform events; `None`
    stands for all selected types. Updates and deletions of a type carry its
    `enriched_fields` and the fields of its filter, even if these fields did not change.
    A channel with enriched fields splits a merged event into one event per record; all
    of them have the same replay id (CDC guide, event enrichment).
    """

    path: str
    label: str | None = None
    members: frozenset[str] | None = None
    enriched_fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    filters: Mapping[str, EventFilter] = field(default_factory=dict)

    def extra_fields(self, member: str) -> tuple[str, ...]:
        """Return the fields that a member's updates and deletions always carry."""
        known = self.filters.get(member)
        return tuple(dict.fromkeys((*self.enriched_fields.get(member, ()), *(known.fields if known else ()))))

    def passes(self, member: str, payload: Mapping[str, Any]) -> bool:
        """Return whether an event passes the filter of a member."""
        known = self.filters.get(member)
        return known is None or known.matches(payload)


class Channels:
    """All channel paths of the org."""

    def __init__(
        self, schema: Schema, settings: Iterable[OrgChannel] = (), selected: Iterable[str] | None = None
    ) -> None:
        """Carry the changes of the `selected` types.

        `None` is the default selection: every type whose changes can be announced,
        including custom types that are created later. A channel also carries the
        changes of its own members.
        """
        self._schema = schema
        self.configure(settings, selected)

    def configure(self, settings: Iterable[OrgChannel], selected: Iterable[str] | None) -> None:
        """Replace the channels and the selection."""
        self._is_usual = selected is None
        self._selected = frozenset(selected or ())
        self._settings = {each.path: each for each in settings}

    @property
    def settings(self) -> tuple[OrgChannel, ...]:
        """The channels that an administrator created or adjusted."""
        return tuple(self._settings.values())

    @property
    def selected(self) -> frozenset[str]:
        """The types whose changes are announced on `/data/ChangeEvents`."""
        if not self._is_usual:
            return self._selected
        return frozenset(each.name for each in self._schema.entities if each.announced)

    @property
    def is_usual(self) -> bool:
        """True until a selection replaces the default one."""
        return self._is_usual

    def carrying(self, entity: Entity) -> list[OrgChannel]:
        """Return the channels that carry the changes of a type."""
        if not entity.announced:
            return []
        custom = self._custom("/data/", entity.name)
        if not self._is_selected(entity.name):
            custom = [each for each in custom if each.members is not None]
        own = [OrgChannel(path=f"/data/{entity.change_event}")] if self._has_own(entity.name) else []
        everything = self._settings.get(ALL_CHANGES) or OrgChannel(path=ALL_CHANGES)
        return [*own, *([everything] if self._is_selected(entity.name) else []), *custom]

    def is_event(self, name: str) -> bool:
        """Return whether a platform event with this name exists or can be created."""
        return name in STANDARD_EVENTS or self._schema.is_platform_event(name)

    def carrying_platform_event(self, name: str, payload: Mapping[str, Any]) -> list[str]:
        """Return the paths that carry a platform event."""
        custom = (each.path for each in self._custom("/event/", name) if each.passes(name, payload))
        return [f"/event/{name}", *custom]

    def refusal(self, path: str) -> str | None:
        """Return the reason why `path` can't be subscribed to, or `None` if it can."""
        if not path:
            return "400::Channel name not specified"
        if not path.startswith("/"):
            return "400::Channel subscriptions must start with a leading '/'"
        if path == ALL_CHANGES or path in self._settings or self._exists(path):
            return None
        return f"400::The channel you requested to subscribe to doesn't exist {{{path}}}"

    def _is_selected(self, name: str) -> bool:
        return self._is_usual or name in self._selected

    def _has_own(self, name: str) -> bool:
        """Return whether a type has its own channel; it has one if any channel announces its changes."""
        return self._is_selected(name) or any(
            name in (each.members or ()) for each in self._settings.values()
        )

    def _custom(self, kind: str, member: str) -> list[OrgChannel]:
        return [
            each
            for path, each in self._settings.items()
            if path != ALL_CHANGES
            and path.startswith(kind)
            and (each.members is None or member in each.members)
        ]

    def _exists(self, path: str) -> bool:
        _, kind, name = (*path.split("/", 2), "", "")[:3]
        if kind == "event":
            return self.is_event(name)
        entity = changed_type(name) if kind == "data" else None
        if entity is None or not self._schema.knows(entity):
            return False
        if not self._has_own(entity):
            return False
        # A subscription also counts as a first use, which creates the type, so the selection includes this
        # type.
        return self._schema.entity(entity).announced
