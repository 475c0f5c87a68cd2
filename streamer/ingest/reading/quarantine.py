"""Quarantine of events that cannot be read or appended."""

import hashlib
from dataclasses import dataclass, field, replace
from shlex import quote

import structlog

from streamer.clock import Clock
from streamer.errors import EventsRefused, MostlyUnreadable
from streamer.events import Channel, DeadLetter, Event, Stage, Unreadable, replay_id_to_text
from streamer.exact_json import raw_json

_log = structlog.get_logger()

_WINDOW = 100
_ENOUGH = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretBytes:
    """Content of a dead letter instead of bytes that can hold protected fields.

    Neither the `digest` nor what is `kept`, if anything, tells anything without
    a key.
    """

    digest: str
    kept: bytes = b""

    def error(self, piece: Unreadable) -> str:
        """Return the error of `piece` without any text of its bytes."""
        summary, size = piece.summary or "It can't be decoded", len(piece.raw)
        what = "are encrypted" if self.kept else "are withheld"
        return f"{summary}; its {size} bytes can hold protected fields and {what}"

    def hint(self, channel: Channel) -> str:
        """Return what an operator can do about a message of `channel`."""
        if self.kept:
            return (
                "The raw bytes are encrypted with protection.key: docs/protection.md says how to read them."
            )
        hours = channel.retention_s / 3600
        return (
            "Nothing of the message is in the log, because of protect. Salesforce retains it for "
            f"{hours:.0f} hours. With protection.unreadable: encrypt, the next one is kept, and is secret."
        )


@dataclass(slots=True, kw_only=True)
class Quarantine:
    """Sets events of one channel aside, and stops the channel when most of them are unreadable.

    A single bad event is poison. When most events are bad, a schema or a
    transport is broken, and setting them all aside would only hide it.
    """

    clock: Clock
    _read: int = field(default=0, init=False)
    _unreadable: int = field(default=0, init=False)

    def unreadable(
        self, piece: Unreadable, channel: Channel, secret: SecretBytes | None = None
    ) -> DeadLetter:
        """Return the dead letter of a piece that is not JSON, or of a message that is not an event.

        With `secret`, it holds nothing of the piece but that, and neither do
        lines that are logged.
        """
        if secret is None:
            digest = hashlib.sha256(piece.raw).hexdigest()
            hint = (
                "Look at the raw bytes; if the shape is a new one, update Streamer, then "
                f"`streamer deadletters redrive --channel {quote(channel.path)}`."
            )
        else:
            digest, hint = secret.digest, secret.hint(channel)
            piece = replace(piece, raw=secret.kept, error=secret.error(piece))
        digest = digest[:16]
        position = replay_id_to_text(piece.replay_id) if piece.replay_id else "unknown"
        _log.warning(
            "event.set_aside",
            channel=str(channel),
            replay_id=position,
            reason="unreadable",
            error=piece.error,
        )
        now = self.clock.now()
        return DeadLetter(
            id=f"{channel}:{position}:{digest}",
            stage=Stage.INGEST,
            channel=str(channel),
            reason="unreadable",
            error=piece.error,
            hint=hint,
            failed_at=now,
            first_failed_at=now,
            replay_id=piece.replay_id,
            raw=piece.raw,
            schema_id=piece.schema_id,
            event_uuid=piece.event_uuid,
        )

    def judge(self, *, read: int, unreadable: int) -> None:
        """Count a batch; raise `MostlyUnreadable` when most of the last hundred messages were unreadable.

        More `unreadable` messages of the same batch are counted with `read` as
        zero, so only a new batch begins a new window.
        """
        if read and self._read >= _WINDOW:
            self._read = self._unreadable = 0
        self._read += read
        self._unreadable += unreadable
        if self._unreadable * 2 > self._read >= _ENOUGH:
            raise MostlyUnreadable(
                f"{self._unreadable} of the last {self._read} messages could not be read: the channel sends "
                "a shape that this version does not know. Nothing was passed over: update, then restart."
            )

    def refused(self, refused: EventsRefused) -> list[DeadLetter]:
        """Return the dead letters of the events that the log refused."""
        return [self._refused(event, refused) for event in refused.events]

    def _refused(self, event: Event, refused: EventsRefused) -> DeadLetter:
        position = replay_id_to_text(event.replay_id)
        _log.warning(
            "event.set_aside",
            channel=event.channel,
            replay_id=position,
            reason="refused_by_log",
            error=str(refused),
        )
        now = self.clock.now()
        return DeadLetter(
            # Publishers can give several events the same id.
            id=f"{event.id}:{position}:refused",
            stage=Stage.INGEST,
            channel=event.channel,
            reason="refused_by_log",
            error=str(refused),
            hint="Raise the size limit of the topic (max.message.bytes) and of the broker, then "
            f"`streamer deadletters redrive --channel {quote(event.channel)}`.",
            failed_at=now,
            first_failed_at=now,
            replay_id=event.replay_id,
            raw=raw_json(event.data),
            event=replace(event, data={}),
        )
