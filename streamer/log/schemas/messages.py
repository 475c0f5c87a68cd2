"""Schemas of other events' data, and of all events as CloudEvents."""

import re

from streamer.cloud_events import JSON, STRUCTURED
from streamer.events import JsonObject
from streamer.log.schemas.changes import (
    any_object,
    constant,
    event_time,
    reference,
    text,
    the_object,
    with_redriven,
)


def messages() -> dict[str, JsonObject]:
    """Return the definitions, by their names."""
    return {
        "PlatformEvent": _platform_event(),
        "PushTopicNotification": _push_topic_notification(),
        "GenericEvent": _generic_event(),
        "OutboundMessage": _outbound_message(),
    }


def _platform_event() -> JsonObject:
    return the_object(
        "A platform event.",
        {
            "entity": text("the API name of the event", minLength=1),
            "fields": any_object("its fields, CreatedDate and CreatedById included"),
        },
        with_redriven(),
    )


def _push_topic_notification() -> JsonObject:
    return the_object(
        "A notification of a PushTopic.",
        {
            "record_id": {
                "type": ["string", "null"],
                "minLength": 1,
                "description": "the id of the record; null where the topic's query does not select Id",
            },
            "entity": text("the name of the PushTopic", minLength=1),
            "change": text("created, updated, deleted or undeleted", pattern=r"^\w+$"),
            "fields": any_object("the fields that the topic's query selects"),
        },
        with_redriven(),
    )


def _generic_event() -> JsonObject:
    return the_object(
        "An event of a generic channel.",
        {"entity": text("the name of the channel", minLength=1)},
        with_redriven({"payload": {"description": "what the sender wrote; absent where it is protected"}}),
    )


def _outbound_message() -> JsonObject:
    return the_object(
        "An outbound message about one record.",
        {
            "record_id": text("the id of the record", minLength=15),
            "entity": text("the API name of the object", minLength=1),
            "fields": any_object("the fields that the message names, as texts; null without a value"),
            "organization_id": text("the id of the org", minLength=15),
        },
        {
            "action_id": {
                "type": ["string", "null"],
                "description": "the id of the message's definition; absent where it is protected",
            },
        }
        | with_redriven(),
    )


_SPECIFICATION = "1.0"
_TRACEPARENT = text(
    "the event's trace, as W3C Trace Context writes it; absent where tracing is off",
    pattern="^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
)
DATA_OF_TYPES: dict[str, tuple[str, ...]] = {
    r"^salesforce\.cdc\.\w+\.created$": ("ChangeCreated", "ChangeRecovered"),
    r"^salesforce\.cdc\.\w+\.updated$": ("ChangeUpdated", "ChangeRecovered"),
    r"^salesforce\.cdc\.\w+\.deleted$": ("ChangeDeleted", "ChangeRecovered"),
    r"^salesforce\.cdc\.\w+\.undeleted$": ("ChangeUndeleted", "ChangeRecovered"),
    r"^salesforce\.cdc\.\w+\.gap$": ("ChangeGap",),
    r"^salesforce\.cdc\.\w+\.snapshot$": ("ChangeSnapshot",),
    r"^salesforce\.event\.\w+$": ("PlatformEvent",),
    r"^salesforce\.topic\.\w+\.\w+$": ("PushTopicNotification",),
    r"^salesforce\.generic\.\w+$": ("GenericEvent",),
    r"^salesforce\.outbound\.\w+$": ("OutboundMessage",),
}
"""Definitions of the data of an event, by patterns of its type; exactly one matches."""


def cloud_events() -> dict[str, JsonObject]:
    """Return the definitions, by their names."""
    return {
        "CloudEvent": _document(),
        "EventHeaders": _headers(),
        "StructuredHeaders": _structured_headers(),
    }


def definitions_of(event_type: str) -> tuple[str, ...]:
    """Return the definitions of the data of an event of this type; any of them can hold.

    Raises `LookupError` for a type that is not one of ours.
    """
    for pattern, names in DATA_OF_TYPES.items():
        if re.match(pattern, event_type):
            return names
    raise LookupError(event_type)


def data_of(names: tuple[str, ...]) -> JsonObject:
    """Return the schema of data for which one of these definitions holds."""
    found = [reference(name) for name in names]
    return found[0] if len(found) == 1 else {"oneOf": found}


def _attributes(prefix: str) -> tuple[dict[str, JsonObject], dict[str, JsonObject]]:
    needed = {
        "specversion": constant(_SPECIFICATION, "the version of CloudEvents"),
        "type": text("the type of the event", pattern=r"^salesforce\.\w+\.\w+"),
        "id": text("the event's id; it is the same when the same event is read again", minLength=1),
        "source": text("/salesforce/ and the id of the org", minLength=1),
        "time": event_time("the commit time; in a snapshot, the time of reading"),
        "sfchannel": text("the channel that the event was read from", pattern="^/"),
        "sfreplayid": text("Salesforce's position of the event in that channel", minLength=1),
    }
    optional = {
        "subject": text("the id of the record; absent where the event is about none"),
        "traceparent": _TRACEPARENT,
    }
    return (
        {prefix + name: part for name, part in needed.items()},
        {prefix + name: part for name, part in optional.items()},
    )


def _headers() -> JsonObject:
    needed, optional = _attributes("ce_")
    content_type = constant(JSON.decode(), "the media type of the value")
    return the_object(
        "The headers of an event: CloudEvents 1.0 in binary mode. All values are texts in UTF-8.",
        {**needed, "content-type": content_type},
        {**optional, "traceparent": _TRACEPARENT},
    )


def _structured_headers() -> JsonObject:
    needed, _ = _attributes("")
    content_type = constant(STRUCTURED.decode(), "the media type of the value")
    return the_object(
        "The headers of an event whose value is the whole CloudEvent.",
        {"type": needed["type"], "content-type": content_type},
        {"traceparent": _TRACEPARENT},
    )


def _document() -> JsonObject:
    needed, optional = _attributes("")
    content_type = constant(JSON.decode(), "the media type of data")
    return the_object(
        "An event in structured mode (`log.kafka.content_mode: structured`).",
        {
            **needed,
            "datacontenttype": content_type,
            "data": {"type": "object", "description": "by the type of the event"},
        },
        optional,
        oneOf=[
            {"properties": {"type": {"pattern": pattern}, "data": data_of(names)}}
            for pattern, names in DATA_OF_TYPES.items()
        ],
    )
