"""Values that travel from Salesforce through the log to the targets.

This package does no I/O and knows no transport, log or target.
"""

from streamer.events.continuity import ContinuityRecord, HoleCause, Repair
from streamer.events.dead_letters import DeadLetter, LetterHead, Stage
from streamer.events.event import Channel, Event
from streamer.events.ids import (
    EventId,
    JsonObject,
    OrgId,
    ReplayId,
    SubscriberName,
    json_copy,
    record_id_of,
    short_id,
)
from streamer.events.outcomes import (
    LONGEST_PAUSE_S,
    Content,
    Delivered,
    Delivery,
    Disable,
    FailureClass,
    Forwarded,
    Hold,
    Outcome,
    Receipt,
    Reject,
    Retry,
    Skip,
    WrittenText,
)
from streamer.events.places import Entry, ParkedLane, Partition, Setback, SettledOffsets
from streamer.events.reading import Batch, Checkpoint, NewEventsAfter, SoughtPlace, Start, Unreadable

__all__ = [
    "LONGEST_PAUSE_S",
    "Batch",
    "Channel",
    "Checkpoint",
    "Content",
    "ContinuityRecord",
    "DeadLetter",
    "Delivered",
    "Delivery",
    "Disable",
    "Entry",
    "Event",
    "EventId",
    "FailureClass",
    "Forwarded",
    "Hold",
    "HoleCause",
    "JsonObject",
    "LetterHead",
    "NewEventsAfter",
    "OrgId",
    "Outcome",
    "ParkedLane",
    "Partition",
    "Receipt",
    "Reject",
    "Repair",
    "ReplayId",
    "Retry",
    "Setback",
    "SettledOffsets",
    "Skip",
    "SoughtPlace",
    "Stage",
    "Start",
    "SubscriberName",
    "Unreadable",
    "WrittenText",
    "json_copy",
    "record_id_of",
    "short_id",
]
