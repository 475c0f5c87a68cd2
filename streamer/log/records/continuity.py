"""Continuity records as JSON."""

from typing import Any

from streamer.events import (
    Channel,
    ContinuityRecord,
    HoleAcknowledgement,
    HoleCause,
    JsonObject,
    OrgId,
    Repair,
    SnapshotSelection,
    optional_replay_id,
    optional_replay_text,
)
from streamer.log.records.events import channel_fields, decode, encode, optional_printable, printable

_YEAR_10000 = 253_402_300_800
_MOST = 2**53


def encode_continuity(record: ContinuityRecord) -> bytes:
    """Return `record` as JSON; raises `TypeError` when JSON can't hold its progress."""
    return encode(
        {
            "id": printable(record.id),
            **channel_fields(record.channel),
            "cause": record.cause,
            "state": record.state,
            "entity": optional_printable(record.entity),
            "detail": printable(record.detail),
            "recorded_at": record.recorded_at,
            "after": optional_replay_text(record.after),
            "verified_at": record.verified_at,
            "until": record.until,
            "progress": record.progress,
            "found": record.found,
            "published": record.published,
            "updated_at": record.updated_at,
            # An older version ignores these fields.
            **_acknowledgement_fields(record.acknowledged),
            **({} if record.record is None else {"record": printable(record.record)}),
            **_selection_fields(record.selection),
        }
    )


def _acknowledgement_fields(acknowledged: HoleAcknowledgement | None) -> JsonObject:
    if acknowledged is None:
        return {}
    said = {
        "by": printable(acknowledged.by),
        "at": acknowledged.at,
        "reason": printable(acknowledged.reason),
    }
    return {"acknowledged": said}


def _selection_fields(selection: SnapshotSelection | None) -> JsonObject:
    if selection is None:
        return {}
    chosen = {
        "where": printable(selection.where),
        "fields": [*map(printable, selection.fields)],
        "since": selection.since,
    }
    return {"selection": chosen}


def decode_continuity(raw: bytes | str, *, former_id: str = "") -> ContinuityRecord:
    """Return the record that `encode_continuity` wrote; raises `LogMisconfigured`.

    A record of the former format has no id and gets `former_id`. The flag `repaired` of
    such a record becomes the final state.
    """
    return decode(raw, "a continuity record", lambda fields: _continuity(fields, former_id))


def _continuity(fields: JsonObject, former_id: str) -> ContinuityRecord:
    return ContinuityRecord(
        id=_text(fields.get("id", former_id)),
        channel=Channel(org=OrgId(_text(fields["org"])), path=_text(fields["path"])),
        cause=HoleCause(fields["cause"]),
        detail=_text(fields["detail"]),
        recorded_at=_time(fields["recorded_at"]),
        state=_state(fields),
        entity=None if fields.get("entity") is None else _text(fields["entity"]),
        after=optional_replay_id(fields.get("after")),
        verified_at=_optional_time(fields.get("verified_at")),
        until=_optional_time(fields.get("until")),
        progress=dict(fields.get("progress") or {}),
        found=_count(fields.get("found", 0)),
        published=_count(fields.get("published", 0)),
        updated_at=_optional_time(fields.get("updated_at")),
        acknowledged=_acknowledgement(fields.get("acknowledged")),
        record=None if fields.get("record") is None else _text(fields["record"]),
        selection=_selection(fields.get("selection")),
    )


def _acknowledgement(fields: JsonObject | None) -> HoleAcknowledgement | None:
    if fields is None:
        return None
    return HoleAcknowledgement(by=_text(fields["by"]), at=_time(fields["at"]), reason=_text(fields["reason"]))


def _selection(fields: JsonObject | None) -> SnapshotSelection | None:
    if fields is None:
        return None
    return SnapshotSelection(
        where=_text(fields["where"]),
        fields=tuple(map(_text, fields["fields"])),
        since=_optional_time(fields.get("since")),
    )


def _state(fields: JsonObject) -> Repair:
    if "state" in fields:
        return Repair(fields["state"])
    return Repair.FULL if fields.get("repaired") else Repair.NONE


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("a value that must be a text has another type")
    return value


def _time(value: Any) -> float:
    # Times above this limit can't be shown as a date.
    if not 0 <= value < _YEAR_10000:
        raise ValueError("a time is outside of the years 1970 to 9999")
    return float(value)


def _optional_time(value: Any) -> float | None:
    return None if value is None else _time(value)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError("a count is invalid")
    return value
