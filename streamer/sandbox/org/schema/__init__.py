"""Schema of the org: its types of records, their fields, and its platform events."""

from streamer.sandbox.org.schema.entities import (
    READ_ONLY,
    Entity,
    Field,
    PlatformEvent,
    change_event_of,
    changed_type,
    label,
    type_of,
)
from streamer.sandbox.org.schema.schema import Schema
from streamer.sandbox.org.schema.standard_types import STANDARD, new_type

__all__ = [
    "READ_ONLY",
    "STANDARD",
    "Entity",
    "Field",
    "PlatformEvent",
    "Schema",
    "change_event_of",
    "changed_type",
    "label",
    "new_type",
    "type_of",
]
