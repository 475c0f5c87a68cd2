"""Ports: the contracts between the core and its adapters.

Each port has an in-memory twin in the package and at least one real adapter.
One contract test suite runs on all of them.
"""

from streamer.ports.controls import ControlledLog, Controls
from streamer.ports.dispatch import (
    Assigned,
    Feed,
    LaneChange,
    LogReader,
    Page,
    Recorded,
    Revoked,
    Settlement,
    Subscription,
    Wants,
)
from streamer.ports.ingest import Append, Appended, EventLog, Ownership, RecordReader, Source
from streamer.ports.plugins import (
    BlockingSubscriber,
    Plugin,
    PluginContext,
    Preview,
    Previewing,
    Subscriber,
)
from streamer.ports.publishing import (
    EventPublisher,
    Org,
    OutgoingEvent,
    Published,
    PublishResult,
    PublishTransport,
    Unanswered,
    Unpublished,
)

__all__ = [
    "Append",
    "Appended",
    "Assigned",
    "BlockingSubscriber",
    "ControlledLog",
    "Controls",
    "EventLog",
    "EventPublisher",
    "Feed",
    "LaneChange",
    "LogReader",
    "Org",
    "OutgoingEvent",
    "Ownership",
    "Page",
    "Plugin",
    "PluginContext",
    "Preview",
    "Previewing",
    "PublishResult",
    "PublishTransport",
    "Published",
    "RecordReader",
    "Recorded",
    "Revoked",
    "Settlement",
    "Source",
    "Subscriber",
    "Subscription",
    "Unanswered",
    "Unpublished",
    "Wants",
]
