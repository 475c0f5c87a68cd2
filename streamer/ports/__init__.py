"""Ports: the contracts between the core and its adapters.

Each port has an in-memory twin in the package and at least one real adapter.
The same contract tests run on all of them.
"""

from typing import TYPE_CHECKING

from streamer.later import names_later

if TYPE_CHECKING:
    from streamer.ports.controls import (
        ContinuityCursor,
        ControlledLog,
        Controls,
        LetterCursor,
        LogRoom,
        ProcessRecord,
        ProcessRecordKind,
        ProcessRecords,
    )
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
    from streamer.ports.history import (
        MOST_FOUND,
        MOST_RECEIPTS,
        MOST_SCANNED,
        AppendedPage,
        EventHistory,
        EventSearch,
        FoundEvents,
        FoundReceipts,
        HistoryPage,
        HistoryStart,
        LoggedEvent,
        SubscriberPlace,
    )
    from streamer.ports.ingest import (
        Append,
        Appended,
        DescribedLog,
        Describer,
        EventLog,
        KnownOrgs,
        Ownership,
        PayloadReader,
        RecordedHoles,
        RecordedPositions,
        RecordReader,
        Source,
        StoredCheckpoint,
    )
    from streamer.ports.lookups import LookupPlugin, LookupReader, LookupService, Org, ServiceSource
    from streamer.ports.plugins import (
        BATCH_WAIT_S,
        Batching,
        BatchSubscriber,
        BlockingBatchSubscriber,
        BlockingSubscriber,
        Examinable,
        KafkaToken,
        KafkaTokenProvider,
        Plugin,
        PluginContext,
        Previewing,
        Subscriber,
        TargetReport,
    )
    from streamer.ports.queries import (
        Changed,
        Deletion,
        Deletions,
        RecordPage,
        RecordQueries,
        RecordQuery,
        Replication,
    )
    from streamer.ports.states import RecordStates, StateRebuild
    from streamer.ports.tracing import Span, SpanKind, Tracer
    from streamer.ports.writing import (
        Answered,
        ApexRestCall,
        ApexSoapCall,
        CallResult,
        EventPublisher,
        OrgWriter,
        OutgoingEvent,
        Preview,
        Published,
        PublishResult,
        PublishTransport,
        Unanswered,
        Unpublished,
        WriteKind,
        WriteOperation,
        WriteRefused,
        WriteResult,
        Written,
    )
else:
    # A command imports only the contracts that it uses.
    __getattr__ = names_later(
        __name__,
        {
            "controls": (
                "ContinuityCursor ControlledLog Controls LetterCursor LogRoom "
                "ProcessRecord ProcessRecordKind ProcessRecords"
            ),
            "dispatch": (
                "Assigned Feed LaneChange LogReader Page Recorded Revoked Settlement Subscription Wants"
            ),
            "history": (
                "MOST_FOUND MOST_RECEIPTS MOST_SCANNED AppendedPage EventHistory EventSearch FoundEvents "
                "FoundReceipts HistoryPage HistoryStart LoggedEvent SubscriberPlace"
            ),
            "ingest": (
                "Append Appended DescribedLog Describer EventLog KnownOrgs Ownership PayloadReader "
                "RecordedHoles RecordedPositions RecordReader Source StoredCheckpoint"
            ),
            "lookups": "LookupPlugin LookupReader LookupService Org ServiceSource",
            "plugins": (
                "BATCH_WAIT_S Batching BatchSubscriber BlockingBatchSubscriber BlockingSubscriber "
                "Examinable KafkaToken KafkaTokenProvider Plugin PluginContext Previewing Subscriber "
                "TargetReport"
            ),
            "queries": "Changed Deletion Deletions RecordPage RecordQueries RecordQuery Replication",
            "states": "RecordStates StateRebuild",
            "tracing": "Span SpanKind Tracer",
            "writing": (
                "Answered ApexRestCall ApexSoapCall CallResult EventPublisher OrgWriter OutgoingEvent "
                "Preview Published PublishResult PublishTransport Unanswered Unpublished WriteKind "
                "WriteOperation WriteRefused WriteResult Written"
            ),
        },
    )

__all__ = [
    "BATCH_WAIT_S",
    "MOST_FOUND",
    "MOST_RECEIPTS",
    "MOST_SCANNED",
    "Answered",
    "ApexRestCall",
    "ApexSoapCall",
    "Append",
    "Appended",
    "AppendedPage",
    "Assigned",
    "BatchSubscriber",
    "Batching",
    "BlockingBatchSubscriber",
    "BlockingSubscriber",
    "CallResult",
    "Changed",
    "ContinuityCursor",
    "ControlledLog",
    "Controls",
    "Deletion",
    "Deletions",
    "DescribedLog",
    "Describer",
    "EventHistory",
    "EventLog",
    "EventPublisher",
    "EventSearch",
    "Examinable",
    "Feed",
    "FoundEvents",
    "FoundReceipts",
    "HistoryPage",
    "HistoryStart",
    "KafkaToken",
    "KafkaTokenProvider",
    "KnownOrgs",
    "LaneChange",
    "LetterCursor",
    "LogReader",
    "LogRoom",
    "LoggedEvent",
    "LookupPlugin",
    "LookupReader",
    "LookupService",
    "Org",
    "OrgWriter",
    "OutgoingEvent",
    "Ownership",
    "Page",
    "PayloadReader",
    "Plugin",
    "PluginContext",
    "Preview",
    "Previewing",
    "ProcessRecord",
    "ProcessRecordKind",
    "ProcessRecords",
    "PublishResult",
    "PublishTransport",
    "Published",
    "RecordPage",
    "RecordQueries",
    "RecordQuery",
    "RecordReader",
    "RecordStates",
    "Recorded",
    "RecordedHoles",
    "RecordedPositions",
    "Replication",
    "Revoked",
    "ServiceSource",
    "Settlement",
    "Source",
    "Span",
    "SpanKind",
    "StateRebuild",
    "StoredCheckpoint",
    "Subscriber",
    "SubscriberPlace",
    "Subscription",
    "TargetReport",
    "Tracer",
    "Unanswered",
    "Unpublished",
    "Wants",
    "WriteKind",
    "WriteOperation",
    "WriteRefused",
    "WriteResult",
    "Written",
]
