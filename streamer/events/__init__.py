"""Values that pass from Salesforce through the log to the targets.

This package does no I/O, and depends on no transport, log or target.
"""

from typing import TYPE_CHECKING

from streamer.later import names_later

if TYPE_CHECKING:
    from streamer.events.continuity import (
        ContinuityRecord,
        HoleAcknowledgement,
        HoleCause,
        Repair,
        SnapshotSelection,
    )
    from streamer.events.dead_letters import DeadLetter, LetterHead, Stage
    from streamer.events.event import (
        LONGEST_REPLAY_ID,
        Channel,
        Event,
        EventId,
        JsonObject,
        OrgId,
        ReplayId,
        Start,
        SubscriberName,
        is_of_cometd,
        json_copy,
        optional_replay_id,
        optional_replay_text,
        record_id_of,
        replay_id_from_text,
        replay_id_to_text,
        short_id,
    )
    from streamer.events.outcomes import (
        LONGEST_PAUSE_S,
        AttemptExchange,
        Content,
        Delivered,
        Delivery,
        Disable,
        EventOutcome,
        FailedAttempt,
        FailureClass,
        Forwarded,
        Hold,
        Outcome,
        Receipt,
        Reject,
        Retry,
        Skip,
        WrittenText,
        answer_beginning,
    )
    from streamer.events.places import Entry, ParkedLane, Partition, Setback, SettledOffsets
    from streamer.events.reading import Batch, Checkpoint, NewEventsAfter, SoughtPlace, Unreadable
    from streamer.events.states import LastChange, RecordState
else:
    # A command imports only the values that it uses.
    __getattr__ = names_later(
        __name__,
        {
            "continuity": "ContinuityRecord HoleAcknowledgement HoleCause Repair SnapshotSelection",
            "dead_letters": "DeadLetter LetterHead Stage",
            "event": (
                "LONGEST_REPLAY_ID Channel Event EventId JsonObject OrgId ReplayId Start SubscriberName "
                "is_of_cometd json_copy optional_replay_id optional_replay_text record_id_of "
                "replay_id_from_text replay_id_to_text short_id"
            ),
            "outcomes": (
                "LONGEST_PAUSE_S AttemptExchange Content Delivered Delivery Disable EventOutcome "
                "FailedAttempt FailureClass Forwarded Hold Outcome Receipt Reject Retry Skip WrittenText "
                "answer_beginning"
            ),
            "places": "Entry ParkedLane Partition Setback SettledOffsets",
            "reading": "Batch Checkpoint NewEventsAfter SoughtPlace Unreadable",
            "states": "LastChange RecordState",
        },
    )

__all__ = [
    "LONGEST_PAUSE_S",
    "LONGEST_REPLAY_ID",
    "AttemptExchange",
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
    "EventOutcome",
    "FailedAttempt",
    "FailureClass",
    "Forwarded",
    "Hold",
    "HoleAcknowledgement",
    "HoleCause",
    "JsonObject",
    "LastChange",
    "LetterHead",
    "NewEventsAfter",
    "OrgId",
    "Outcome",
    "ParkedLane",
    "Partition",
    "Receipt",
    "RecordState",
    "Reject",
    "Repair",
    "ReplayId",
    "Retry",
    "Setback",
    "SettledOffsets",
    "Skip",
    "SnapshotSelection",
    "SoughtPlace",
    "Stage",
    "Start",
    "SubscriberName",
    "Unreadable",
    "WrittenText",
    "answer_beginning",
    "is_of_cometd",
    "json_copy",
    "optional_replay_id",
    "optional_replay_text",
    "record_id_of",
    "replay_id_from_text",
    "replay_id_to_text",
    "short_id",
]
