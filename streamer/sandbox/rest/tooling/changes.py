"""Changes to the channels by Tooling requests, with Salesforce's rules.

Salesforce documents the rules, but not the error codes of its refusals; the sandbox
chooses these codes.
"""

import re
from typing import Any

from streamer.sandbox.access.schema_view import SchemaView
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.refusals import Refused, no_such_column, not_found
from streamer.sandbox.org.schema import Field
from streamer.sandbox.rest.tooling.bodies import ChannelBody, MemberBody, MemberMetadata, parsed
from streamer.sandbox.rest.tooling.filters import PayloadFilter, payload_filter
from streamer.sandbox.rest.tooling.setup import (
    DEFAULT_CHANNEL,
    ChannelAdministration,
    PlatformEventChannel,
    PlatformEventChannelMember,
    entity_of,
)

MOST_ENTITIES = 5
"""Entities that can be selected on all channels together without an add-on (CDC guide, allocations).

An org that selects more entities, such as an org with the default selection, has the
add-on.
"""

MOST_CHANNELS = 100
"""Largest number of custom channels of change events, and of platform events."""

_CHANNEL_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*__chn")
_MEMBER_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*")
_EVENT_TYPES = {"data": {"data"}, "event": {"custom", "monitoring"}}
_ENRICHMENT_SINCE, _EVENT_TYPE_SINCE, _FILTERS_SINCE = 51.0, 61.0, 56.0


class ChannelChanges:
    """Creates, changes and deletes channels and members for one user, in one version of the API.

    Every method raises `Refused`.
    """

    def __init__(
        self, setup: ChannelAdministration, org: SandboxOrg, schema: SchemaView, version: str
    ) -> None:
        self._setup = setup
        self._org = org
        self._schema = schema
        self._version = float(version)

    def create_channel(self, body: dict[str, Any]) -> str:
        """Create a custom channel and return its id."""
        asked = parsed(ChannelBody, body)
        name, metadata = _required(asked.full_name, "FullName"), asked.metadata
        if _CHANNEL_NAME.fullmatch(name) is None:
            raise _invalid(f"{name} is not the name of a custom channel, such as Erp__chn", "FullName")
        if metadata.event_type is not None:
            self._check_version("eventType", _EVENT_TYPE_SINCE)
            if metadata.event_type not in _EVENT_TYPES[metadata.channel_type]:
                message = f"A channel of type {metadata.channel_type} has no events of {metadata.event_type}"
                raise _invalid(message, "eventType")
        channels = self._setup.channels()
        if any(each.name.lower() == name.lower() for each in channels):
            raise _duplicate(f"The channel {name} already exists")
        if sum(each.kind == metadata.channel_type for each in channels) >= MOST_CHANNELS:
            raise _limit(f"An org has at most {MOST_CHANNELS} custom channels of a type")
        return self._setup.create_channel(name, metadata.channel_type, metadata.label)

    def change_channel(self, record_id: str, body: dict[str, Any]) -> None:
        """Change the label of a custom channel; its other properties can't change."""
        channel, asked = self.channel(record_id), parsed(ChannelBody, body)
        if asked.full_name not in {None, channel.name} or asked.metadata.channel_type != channel.kind:
            raise _invalid("Only the label of a channel can be changed", "Metadata")
        self._setup.rename_channel(channel, asked.metadata.label or channel.label)

    def delete_channel(self, record_id: str) -> None:
        """Delete a custom channel and its members."""
        self._setup.delete_channel(self.channel(record_id))

    def create_member(self, body: dict[str, Any]) -> str:
        """Add an entity or a platform event to a channel, and return the member's id."""
        asked = parsed(MemberBody, body)
        name, metadata = _required(asked.full_name, "FullName"), asked.metadata
        if _MEMBER_NAME.fullmatch(name) is None:
            message = f"{name} is not the name of a member, such as Erp_chn_AccountChangeEvent"
            raise _invalid(message, "FullName")
        kind = self._kind(metadata.event_channel)
        self._check_entity(kind, metadata.selected_entity)
        members = self._setup.members()
        if any(each.full_name.lower() == name.lower() for each in members):
            raise _duplicate(f"The member {name} already exists")
        place = (metadata.event_channel, metadata.selected_entity)
        if any((each.channel, each.selected) == place for each in members):
            raise _duplicate(f"{metadata.selected_entity} is already on the channel {metadata.event_channel}")
        if kind == "data":
            self._check_limit(members, metadata.selected_entity)
        return self._put(name, kind, metadata)

    def change_member(self, record_id: str, body: dict[str, Any]) -> None:
        """Replace the enriched fields and the filter of a member; its other properties can't change."""
        member, asked = self.member(record_id), parsed(MemberBody, body)
        place = (asked.metadata.event_channel, asked.metadata.selected_entity)
        if asked.full_name not in {None, member.full_name} or place != (member.channel, member.selected):
            message = "Only the enriched fields and the filter of a member can be changed"
            raise _invalid(message, "Metadata")
        self._put(member.full_name, self._kind(member.channel), asked.metadata)

    def delete_member(self, record_id: str) -> None:
        """Remove a member from its channel."""
        self._setup.delete_member(self.member(record_id))

    def channel(self, record_id: str) -> PlatformEventChannel:
        """Return the custom channel with this id."""
        found = next((each for each in self._setup.channels() if _has_id(each.id, record_id)), None)
        if found is None:
            raise not_found()
        return found

    def member(self, record_id: str) -> PlatformEventChannelMember:
        """Return the member with this id."""
        found = next((each for each in self._setup.members() if _has_id(each.id, record_id)), None)
        if found is None:
            raise not_found()
        return found

    def _put(self, name: str, kind: str, metadata: MemberMetadata) -> str:
        entity = entity_of(metadata.selected_entity)
        if metadata.enriched:
            self._check_version("enrichedFields", _ENRICHMENT_SINCE)
            if kind == "event":
                raise _invalid("Platform events can't be enriched", "enrichedFields")
            for field in metadata.enriched:
                self._known_field(entity, field)
        compiled = self._filter(kind, entity, metadata.filter_expression)
        return self._setup.put_member(name, metadata.event_channel, entity, metadata.enriched, compiled)

    def _filter(self, kind: str, entity: str, text: str | None) -> PayloadFilter | None:
        if not text:
            return None
        self._check_version("filterExpression", _FILTERS_SINCE)

        def known(name: str) -> Field | None:
            return (
                self._known_field(entity, name) if kind == "data" else self._known_event_field(entity, name)
            )

        return payload_filter(text, known)

    def _known_field(self, entity_name: str, name: str) -> Field | None:
        entity = self._schema.entity(entity_name)
        top, _, part = name.partition(".")
        if not part:
            proper = self._schema.readable(entity, top)
            if proper is None:
                raise no_such_column(name, entity.name)
            return entity.fields.get(proper)
        for field, (compound, component) in entity.parts.items():
            if (compound.lower(), component.lower()) == (top.lower(), part.lower()):
                return entity.fields[field]
        raise no_such_column(name, entity.name)

    def _known_event_field(self, event_name: str, name: str) -> Field | None:
        declared = self._schema.event(event_name)
        return None if declared is None else declared.field(name)

    def _kind(self, channel: str) -> str:
        if channel == DEFAULT_CHANNEL:
            return "data"
        found = next((each for each in self._setup.channels() if each.name == channel), None)
        if found is None:
            raise _invalid(f"There is no channel {channel}", "eventChannel")
        return found.kind

    def _check_entity(self, kind: str, selected: str) -> None:
        if kind == "event":
            if not self._org.channels.is_event(selected):
                message = (
                    f"The platform event {selected} does not exist, and this channel carries only "
                    "platform events"
                )
                raise _invalid(message, "selectedEntity")
            return
        entity = entity_of(selected)
        if entity == selected:
            message = f"{selected} is not the name of a change event, such as AccountChangeEvent"
            raise _invalid(message, "selectedEntity")
        known = self._org.schema.existing(entity)
        if not self._org.schema.knows(entity):
            message = f"{selected} can't be selected: there is no object {entity}"
            raise _invalid(message, "selectedEntity")
        if known is not None and not known.announced:
            message = f"{selected} can't be selected: {entity} does not support Change Data Capture"
            raise _invalid(message, "selectedEntity")

    def _check_limit(self, members: tuple[PlatformEventChannelMember, ...], selected: str) -> None:
        entities = {each.selected for each in members if entity_of(each.selected) != each.selected}
        if len(entities) <= MOST_ENTITIES < len(entities | {selected}):
            message = f"At most {MOST_ENTITIES} entities can be selected on all channels together"
            raise _limit(message)

    def _check_version(self, key: str, since: float) -> None:
        if self._version < since:
            raise _invalid(f"{key} needs at least version {since} of the API", key)


def _has_id(known: str, asked: str) -> bool:
    return asked in {known, known[:15]}


def _required(value: str | None, name: str) -> str:
    if value is None:
        message = f"Required fields are missing: [{name}]"
        raise Refused("REQUIRED_FIELD_MISSING", message, fields=[name])
    return value


def _invalid(message: str, field: str) -> Refused:
    return Refused("FIELD_INTEGRITY_EXCEPTION", message, fields=[field])


def _duplicate(message: str) -> Refused:
    return Refused("DUPLICATE_DEVELOPER_NAME", message, fields=["FullName"])


def _limit(message: str) -> Refused:
    return Refused("LIMIT_EXCEEDED", message)
