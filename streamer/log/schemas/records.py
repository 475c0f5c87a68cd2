"""Schemas of what Streamer records beside events: receipts, dead letters, continuity records, the audit."""

from streamer.events import HoleCause, JsonObject, Repair, Stage
from streamer.log.records import VERSION
from streamer.log.schemas.changes import (
    any_object,
    constant,
    count,
    epoch_seconds,
    event_time,
    or_null,
    reference,
    text,
    the_object,
)

_POSITION = "printable characters as they are, anything else as base64:…"


def records() -> dict[str, JsonObject]:
    """Return the definitions, by their names."""
    return {
        "Receipt": _receipt(),
        "DeadLetter": _dead_letter(),
        "StoredEvent": _stored_event(),
        "ContinuityRecord": _continuity_record(),
        "AuditRecord": _audit_record(),
    }


def record_headers() -> dict[str, JsonObject]:
    """Return the definitions of the headers of these records, by their names."""
    json = {"content-type": constant("application/json", "the media type of the value")}
    number = {"type": "string", "pattern": r"^\d+$"}
    return {
        "RecordHeaders": the_object("The headers of a record.", json),
        "ReceiptHeaders": the_object(
            "The headers of a receipt.", {"subscriber": text("the name of the subscriber"), **json}
        ),
        "DeadLetterHeaders": the_object(
            "The headers of a part of a dead letter. Its JSON is the values of all parts, joined in order.",
            {
                "id": text("the id of the letter"),
                "part": {**number, "description": "the number of this part, from 0"},
                "parts": {**number, "description": "the number of parts"},
                **json,
            },
            {"head": text("the letter without its content, as JSON; only the first part has it")},
        ),
    }


def _version() -> dict[str, JsonObject]:
    return {"v": constant(VERSION, "the version of the record's form")}


def _receipt() -> JsonObject:
    return the_object(
        "A delivery that a target has accepted.",
        {
            **_version(),
            "outcome": constant("delivered", "the outcome of the last attempt"),
            "event_id": text("the event's id"),
            "event_type": text("the event's type"),
            "event_key": text("the event's key, which is the key of the receipt too"),
            "subscriber": text("the name of the subscriber", minLength=1),
            "attempts": {**count("the attempts, the successful one included"), "minimum": 1},
            "first_tried_at": epoch_seconds("the begin of the first attempt"),
            "delivered_at": epoch_seconds("the end of the last attempt"),
            "seconds": {"type": "number", "minimum": 0, "description": "how long the last attempt took"},
            "answer": any_object("the target's answer, as the subscriber keeps it"),
        },
    )


def _dead_letter() -> JsonObject:
    return the_object(
        "An event or a message that was set aside. A large one takes several records of the topic.",
        {
            **_version(),
            "id": text("the same when the same event is set aside again; the key is the id, # and the part"),
            "stage": {**text("the side of the log that set it aside"), "enum": [*map(str, Stage)]},
            "channel": text("the channel; of a letter of ingest with the org before it"),
            "reason": text("a stable word to filter by", minLength=1),
            "error": text("the error of the last attempt, a sentence"),
            "hint": text("advice for the operator"),
            "failed_at": epoch_seconds("the last failure"),
            "first_failed_at": epoch_seconds("the first failure"),
            "replay_id": or_null(text(f"Salesforce's position: {_POSITION}")),
            "raw": text("the bytes that could not be read or stored, in base64", contentEncoding="base64"),
            "schema_id": text("the id of the schema of these bytes; empty where unknown"),
            "event_uuid": text("the EventUuid that came beside them; empty where unknown"),
            "event": {"anyOf": [reference("StoredEvent"), {"type": "null"}]},
            "subscriber": or_null(text("the subscriber that could not deliver it; null in ingest")),
            "attempts": count("the attempts at a delivery"),
            "first_error": text("the error of the first attempt"),
            "answer": text("the target's answer to the last attempt"),
            "topic": or_null(text("the event's topic, if it was in the log")),
            "partition": or_null(count("its partition")),
            "offset": or_null(count("its offset")),
        },
        {
            "whole_size": count(
                "the whole size of the content in bytes, if raw is only its beginning; else 0"
            ),
            "whole_sha256": text("the SHA-256 of that content, in hexadecimal; else empty"),
        },
    )


def _stored_event() -> JsonObject:
    return the_object(
        "An event within another record.",
        {
            **_version(),
            "id": text("the event's id"),
            "source": text("the org"),
            "type": text("the event's type"),
            "subject": or_null(text("the id of the record")),
            "time": event_time("the commit time"),
            "key": text("the event's key"),
            "channel": text("the path of the channel"),
            "replay_id": text(f"Salesforce's position: {_POSITION}"),
            "data": any_object("the event's data, by its type"),
        },
        {"receipts": any_object("what became of it at each upstream subscriber, by their names")},
    )


def _continuity_record() -> JsonObject:
    return the_object(
        "A hole in a channel, or a snapshot. The last record of an id counts.",
        {
            **_version(),
            "id": text("the id of the hole or the snapshot, which is the key of the record too"),
            "org": text("the id of the org"),
            "path": text("the path of the channel", pattern="^/"),
            "cause": {**text("why events are, or can be, missing"), "enum": [*map(str, HoleCause)]},
            "state": {**text("the state of the repair; all but open are final"), "enum": [*map(str, Repair)]},
            "entity": or_null(text("the object that it concerns; null for all of the channel")),
            "detail": text("a sentence for the operator"),
            "recorded_at": epoch_seconds("when it was found"),
            "after": or_null(text(f"the replay id behind which it begins: {_POSITION}")),
            "verified_at": or_null(epoch_seconds("the last moment at which nothing was missing")),
            "until": or_null(epoch_seconds("its end; null while it is open-ended")),
            "progress": any_object("Streamer's own"),
            "found": count("the records that the repair has found in the org"),
            "published": count("those with an event in the log; of an entity, the rows of the job with most"),
            "updated_at": or_null(epoch_seconds("the last change of the state; null before the first")),
        },
    )


def _audit_record() -> JsonObject:
    return the_object(
        "A change that an operator or Streamer itself made.",
        {
            **_version(),
            "at": epoch_seconds("the time of the change"),
            "what": text("what was changed, such as subscriber.paused", minLength=1),
            "by": text("the operator, or guard or target"),
            "subscriber": or_null(text("the subscriber that it is about")),
            "detail": any_object("more, by the kind of the change"),
        },
    )
