"""Checkpoints and continuity records of a channel as JSON."""

from streamer.events import (
    Channel,
    Checkpoint,
    ContinuityRecord,
    EventId,
    HoleCause,
    JsonObject,
    OrgId,
)
from streamer.log.records.record import decode, encode
from streamer.replay_ids import optional_replay_id, optional_text


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Return `checkpoint` as JSON."""
    return encode(
        {
            **_channel_fields(checkpoint.channel),
            "replay_id": optional_text(checkpoint.replay_id),
            "verified_at": checkpoint.verified_at,
            "appended": checkpoint.appended,
            "open_replay_id": optional_text(checkpoint.open_replay_id),
        }
    )


def decode_checkpoint(raw: bytes | str) -> Checkpoint:
    """Return the checkpoint that `encode_checkpoint` wrote; raises `LogMisconfigured`."""
    return decode(raw, "a checkpoint", _checkpoint)


def encode_continuity(record: ContinuityRecord) -> bytes:
    """Return `record` as JSON."""
    return encode(
        {
            **_channel_fields(record.channel),
            "cause": record.cause,
            "detail": record.detail,
            "recorded_at": record.recorded_at,
            "after": optional_text(record.after),
            "verified_at": record.verified_at,
            "repaired": record.repaired,
        }
    )


def decode_continuity(raw: bytes | str) -> ContinuityRecord:
    """Return the record that `encode_continuity` wrote; raises `LogMisconfigured`."""
    return decode(raw, "a continuity record", _continuity)


def _checkpoint(fields: JsonObject) -> Checkpoint:
    return Checkpoint(
        channel=_channel(fields),
        replay_id=optional_replay_id(fields["replay_id"]),
        verified_at=float(fields["verified_at"]),
        appended=tuple(EventId(id_) for id_ in fields.get("appended", ())),
        open_replay_id=optional_replay_id(fields.get("open_replay_id")),
    )


def _continuity(fields: JsonObject) -> ContinuityRecord:
    return ContinuityRecord(
        channel=_channel(fields),
        cause=HoleCause(fields["cause"]),
        detail=fields["detail"],
        recorded_at=float(fields["recorded_at"]),
        after=optional_replay_id(fields.get("after")),
        verified_at=fields.get("verified_at"),
        repaired=fields.get("repaired", False),
    )


def _channel_fields(channel: Channel) -> JsonObject:
    return {"org": channel.org, "path": channel.path}


def _channel(fields: JsonObject) -> Channel:
    return Channel(org=OrgId(fields["org"]), path=fields["path"])
