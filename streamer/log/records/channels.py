"""Channels and their checkpoints as JSON."""

from streamer.events import Channel, Checkpoint, EventId, JsonObject, OrgId
from streamer.log.records.record import decode, encode, optional_float
from streamer.replay_ids import optional_replay_id, optional_text


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Return `checkpoint` as JSON."""
    return encode(
        {
            **channel_fields(checkpoint.channel),
            "replay_id": optional_text(checkpoint.replay_id),
            "verified_at": checkpoint.verified_at,
            "appended": checkpoint.appended,
            "open_replay_id": optional_text(checkpoint.open_replay_id),
            "positioned_at": checkpoint.positioned_at,
            "skips_after": optional_text(checkpoint.skips_after),
        }
    )


def decode_checkpoint(raw: bytes | str) -> Checkpoint:
    """Return the checkpoint that `encode_checkpoint` wrote; raises `LogMisconfigured`."""
    return decode(raw, "a checkpoint", _checkpoint)


def _checkpoint(fields: JsonObject) -> Checkpoint:
    return Checkpoint(
        channel=_channel(fields),
        replay_id=optional_replay_id(fields["replay_id"]),
        verified_at=float(fields["verified_at"]),
        appended=tuple(EventId(id_) for id_ in fields.get("appended", ())),
        open_replay_id=optional_replay_id(fields.get("open_replay_id")),
        positioned_at=optional_float(fields.get("positioned_at")),
        skips_after=optional_replay_id(fields.get("skips_after")),
    )


def channel_fields(channel: Channel) -> JsonObject:
    """Return `channel` as fields of a record."""
    return {"org": channel.org, "path": channel.path}


def _channel(fields: JsonObject) -> Channel:
    return Channel(org=OrgId(fields["org"]), path=fields["path"])
