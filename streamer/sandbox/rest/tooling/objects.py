"""Tooling objects as records, for queries and retrievals.

Tooling API guide, PlatformEventChannel, PlatformEventChannelMember, EnrichedField
and ManagedEventSubscription.
"""

from typing import Any

from streamer.sandbox.org.records import Record, RecordStore
from streamer.sandbox.org.refusals import not_found
from streamer.sandbox.org.schema import Entity, Field
from streamer.sandbox.rest.tooling.setup import (
    CHANNEL_PREFIX,
    DEFAULT_CHANNEL,
    MEMBER_PREFIX,
    ChannelAdministration,
    PlatformEventChannel,
    PlatformEventChannelMember,
)
from streamer.sandbox.soql.columns import Scope

CHANNEL, MEMBER, ENRICHED_FIELD = "PlatformEventChannel", "PlatformEventChannelMember", "EnrichedField"

SINGLE = frozenset({"FullName", "Metadata"})
"""Fields that only a query for one record returns."""

# Managed subscriptions, whose position Salesforce stores. The sandbox has none, so a query finds nothing.
_SUBSCRIPTION, _SUBSCRIPTION_SINCE = "ManagedEventSubscription", 60.0
_COMMON = "Id:id DeveloperName FullName Language:picklist ManageableState:picklist MasterLabel "
_COMMON += "Metadata:complexvalue NamespacePrefix "


def _type(name: str, prefix: str, line: str) -> Entity:
    words = (word.partition(":") for word in line.split())
    fields = {field: Field(name=field, type=kind or "string") for field, _, kind in words}
    lower = {field.lower(): field for field in fields}
    return Entity(name=name, prefix=prefix, fields=fields, parts={}, by_lower_name=lower)


_TYPES = (
    _type(CHANNEL, CHANNEL_PREFIX, f"{_COMMON} ChannelType:picklist EventType:picklist"),
    _type(MEMBER, MEMBER_PREFIX, f"{_COMMON} EventChannel FilterExpression:textarea SelectedEntity"),
    _type(ENRICHED_FIELD, "0vE", "Id:id ChannelMemberId:reference Field"),
    _type(
        _SUBSCRIPTION,
        "18x",
        f"{_COMMON} DefaultReplay:picklist ErrorRecoveryReplay:picklist State:picklist TopicName",
    ),
)


class ToolingSchema:
    """The Tooling objects in one version of the API, in the form that queries read."""

    def __init__(self, version: float) -> None:
        self._types = _TYPES if version >= _SUBSCRIPTION_SINCE else _TYPES[:-1]

    @property
    def entities(self) -> tuple[Entity, ...]:
        """All of them."""
        return self._types

    def entity(self, name: str) -> Entity:
        """Return the object with this name; raises `Refused` if there is no such object."""
        found = next((each for each in self._types if each.name.lower() == name.lower()), None)
        if found is None:
            raise not_found()
        return found

    def entity_of_id(self, record_id: str) -> Entity | None:
        """Return the object whose ids have the same prefix as this id, or `None`."""
        return next((each for each in self._types if each.prefix == record_id[:3]), None)

    def readable(self, entity: Entity, name: str) -> str | None:
        """Return the canonical name of a field, or `None`."""
        return entity.field_name(name)


def tooling_scope(setup: ChannelAdministration, version: float) -> Scope:
    """Return the scope of a query: the records of channels, members and their enriched fields."""
    schema, records = ToolingSchema(version), RecordStore()
    channels = setup.channels()
    for channel in channels:
        records.put(schema.entity(CHANNEL), {**channel_record(channel), "IsDeleted": False})
    ids = {channel.name: channel.id for channel in channels}
    for member in setup.members():
        # A custom channel is identified by its id, but the default channel by its name.
        record = {**member_record(member), "EventChannel": ids.get(member.channel, DEFAULT_CHANNEL)}
        records.put(schema.entity(MEMBER), {**record, "IsDeleted": False})
        for number, field in enumerate(member.enriched):
            row = {"Id": f"{member.id}-{number}", "ChannelMemberId": member.id, "Field": field}
            records.put(schema.entity(ENRICHED_FIELD), {**row, "IsDeleted": False})
    return Scope(schema=schema, records=records)


def channel_record(channel: PlatformEventChannel) -> Record:
    """Return a custom channel with all its fields."""
    event_type = "data" if channel.kind == "data" else "custom"
    return {
        **_common(channel.id, channel.name, channel.name.removesuffix("__chn"), channel.label),
        "ChannelType": channel.kind,
        "EventType": event_type,
        "Metadata": {
            "channelType": channel.kind,
            "eventType": event_type,
            "label": channel.label,
            "urls": None,
        },
    }


def member_record(member: PlatformEventChannelMember) -> Record:
    """Return a member with all its fields; `EventChannel` is the channel's name."""
    return {
        **_common(member.id, member.full_name, member.full_name, member.full_name),
        "EventChannel": member.channel,
        "FilterExpression": member.filter,
        "SelectedEntity": member.selected,
        "Metadata": {
            "enrichedFields": [{"name": name} for name in member.enriched],
            "eventChannel": member.channel,
            "filterExpression": member.filter,
            "selectedEntity": member.selected,
            "urls": None,
        },
    }


def _common(record_id: str, full_name: str, developer_name: str, label: str) -> dict[str, Any]:
    return {
        "Id": record_id,
        "DeveloperName": developer_name,
        "FullName": full_name,
        "Language": "en_US",
        "ManageableState": "unmanaged",
        "MasterLabel": label,
        "NamespacePrefix": None,
    }
