"""Quarantine for messages that can't be read, and events that the log refuses."""

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
    """Replacement for the bytes of a dead letter, if the bytes can contain protected fields.

    Without a key, neither the `digest` nor the `kept` bytes reveal any value.
    """

    digest: str
    kept: bytes = b""

    def error(self, piece: Unreadable) -> str:
        """Return the error of `piece` without any text from the bytes of `piece`."""
        summary, size = piece.summary or "The message can't be decoded", len(piece.raw)
        what = "are encrypted" if self.kept else "are withheld"
        return f"{summary}; the {size} bytes of the message can hold protected fields and {what}"

    def hint(self, channel: Channel) -> str:
        """Return advice for an operator about a message of `channel`."""
        if self.kept:
            return (
                "The raw bytes are encrypted with protection.key; docs/protection.md says how to "
                "read such bytes."
            )
        hours = channel.retention_s / 3600
        return (
            "Because `protect` is set, the log holds no part of the message. Salesforce retains the "
            f"message for {hours:.0f} hours. Set protection.unreadable: encrypt to keep further "
            "messages that can't be read, in encrypted form."
        )


@dataclass(slots=True, kw_only=True)
class Quarantine:
    """Makes dead letters of one channel's bad messages; stops the channel if most messages are bad.

    A single bad message is set aside. If most messages are bad, a schema or a
    transport is broken, and setting all messages aside would only hide the failure.
    """

    clock: Clock
    _read: int = field(default=0, init=False)
    _unreadable: int = field(default=0, init=False)

    def unreadable(
        self, piece: Unreadable, channel: Channel, secret: SecretBytes | None = None
    ) -> DeadLetter:
        """Return the dead letter of a piece that is not JSON, or of a message that is not an event.

        With `secret`, the letter and the log lines contain no part of the piece
        except `secret`.
        """
        if secret is None:
            digest = hashlib.sha256(piece.raw).hexdigest()
            hint = (
                "Look at the raw bytes. If this version of Streamer does not know the format, update "
                f"Streamer, then run `streamer deadletters redrive --channel {quote(channel.path)}`."
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
        """Count a batch. Raises `MostlyUnreadable` if most of the last hundred messages were unreadable.

        To count more `unreadable` messages of the same batch, call `judge` again
        with `read` as zero; only a new batch begins a new window.
        """
        if read and self._read >= _WINDOW:
            self._read = self._unreadable = 0
        self._read += read
        self._unreadable += unreadable
        if self._unreadable * 2 > self._read >= _ENOUGH:
            raise MostlyUnreadable(
                f"{self._unreadable} of the last {self._read} messages could not be read, so the "
                "channel probably sends a format that this version of Streamer does not know. No "
                "message was skipped. Update Streamer, then restart."
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
            # Publishers can give the same id to several events.
            id=f"{event.id}:{position}:refused",
            stage=Stage.INGEST,
            channel=event.channel,
            reason="refused_by_log",
            error=str(refused),
            hint="Raise the size limit of the topic (max.message.bytes) and of the broker, then run "
            f"`streamer deadletters redrive --channel {quote(event.channel)}`.",
            failed_at=now,
            first_failed_at=now,
            replay_id=event.replay_id,
            raw=raw_json(event.data),
            event=replace(event, data={}),
        )
