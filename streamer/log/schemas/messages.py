"""Schemas of the data of platform events, PushTopic notifications, generic events and outbound messages."""

from streamer.events import JsonObject
from streamer.log.schemas.changes import with_redriven
from streamer.log.schemas.parts import any_object, text, the_object


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
