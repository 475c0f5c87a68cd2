"""Standard objects that stand for channels of the Streaming API: PushTopic and StreamingChannel.

Object reference, PushTopic and StreamingChannel: the name of a PushTopic has at most 25
characters, its query 1,300. The sandbox chooses the other values and the defaults that
the guides do not state.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from streamer.sandbox.org.schema import Entity, Field, new_type

PUSH_TOPIC, STREAMING_CHANNEL = "PushTopic", "StreamingChannel"
OPERATIONS = "NotifyForOperations"
_NOTIFICATIONS = tuple(f"NotifyForOperation{kind}" for kind in ("Create", "Update", "Delete", "Undelete"))


def _standard(name: str, prefix: str, *fields: Field) -> Entity:
    return replace(new_type(name, prefix), announced=False).with_fields(*fields)


STREAMING_OBJECTS = (
    _standard(
        PUSH_TOPIC,
        "0IF",
        Field(name="Name", required=True, declared=True, length=25, unique=True),
        Field(name="Query", type="textarea", required=True, declared=True, length=1300),
        Field(name="ApiVersion", type="double"),
        Field(name="Description", declared=True, length=400),
        Field(name="IsActive", type="boolean"),
        Field(
            name="NotifyForFields",
            type="picklist",
            declared=True,
            values=("All", "Referenced", "Select", "Where"),
            restricted=True,
        ),
        Field(name=OPERATIONS, type="picklist", values=("All", "Create", "Extended", "Update")),
        *(Field(name=name, type="boolean") for name in _NOTIFICATIONS),
    ),
    _standard(
        STREAMING_CHANNEL,
        "0M6",
        Field(name="Name", required=True, declared=True, length=80, unique=True),
        Field(name="Description", declared=True, length=255),
        Field(name="IsDynamic", type="boolean"),
    ),
)
"""Types whose records are channels; they have no change events."""


def operations(topic: Mapping[str, Any]) -> str:
    """Return the `NotifyForOperations` of a topic that announces only creations and updates.

    The field is read-only since version 29.0 (Object reference, PushTopic).
    """
    is_told = (bool(topic.get(_NOTIFICATIONS[0])), bool(topic.get(_NOTIFICATIONS[1])))
    return {(True, True): "All", (True, False): "Create", (False, True): "Update"}.get(is_told, "Extended")


DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    PUSH_TOPIC: {
        "ApiVersion": 66.0,
        "IsActive": True,
        "NotifyForFields": "Referenced",
        **dict.fromkeys(_NOTIFICATIONS, True),
    }
}
"""Values of the fields that are missing in a new record, by type."""
