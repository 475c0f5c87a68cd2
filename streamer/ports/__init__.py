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
from streamer.ports.ingest import Append, Appended, EventLog, KnownOrgs, Ownership, RecordReader, Source
from streamer.ports.org import Org
from streamer.ports.plugins import (
    BATCH_WAIT_S,
    Batching,
    BatchSubscriber,
    BlockingBatchSubscriber,
    BlockingSubscriber,
    Plugin,
    PluginContext,
    Previewing,
    Subscriber,
)
from streamer.ports.previews import Preview
from streamer.ports.publishing import (
    EventPublisher,
    OutgoingEvent,
    Published,
    PublishResult,
    PublishTransport,
    Unanswered,
    Unpublished,
)
from streamer.ports.writing import (
    Answered,
    ApexRestCall,
    ApexSoapCall,
    CallResult,
    OrgWriter,
    WriteKind,
    WriteOperation,
    WriteRefused,
    WriteResult,
    Written,
)

__all__ = [
    "BATCH_WAIT_S",
    "Answered",
    "ApexRestCall",
    "ApexSoapCall",
    "Append",
    "Appended",
    "Assigned",
    "BatchSubscriber",
    "Batching",
    "BlockingBatchSubscriber",
    "BlockingSubscriber",
    "CallResult",
    "ControlledLog",
    "Controls",
    "EventLog",
    "EventPublisher",
    "Feed",
    "KnownOrgs",
    "LaneChange",
    "LogReader",
    "Org",
    "OrgWriter",
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
    "WriteKind",
    "WriteOperation",
    "WriteRefused",
    "WriteResult",
    "Written",
]
