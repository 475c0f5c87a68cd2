"""Decoder of dead letters that ingest has set aside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from streamer.channel_paths import without_filter
from streamer.clock import Clock
from streamer.errors import UnreadableEvent
from streamer.events import Channel, DeadLetter, Event, JsonObject, Unreadable
from streamer.ingest.reading.protection import unprotected_event
from streamer.normalise import Normaliser
from streamer.normalise.times import from_epoch_ms
from streamer.ports import PayloadReader
from streamer.raw_json import OversizedJson, bounded_json
from streamer.replay_ids import is_of_cometd


def is_stored(letter: DeadLetter) -> bool:
    """Return true for the letter of an event that was read and protected, and that the log refused."""
    return letter.reason == "refused_by_log"


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterDecoder:
    """Reads one channel's dead letters again, as its messages are read today.

    `unsealed` returns the bytes of a letter, and raises `UnreadableEvent`.
    `payloads` decodes those of the Pub/Sub API; without it, they stay letters.
    """

    channel: Channel
    normalise: Normaliser
    unsealed: Callable[[DeadLetter], bytes]
    clock: Clock
    payloads: PayloadReader | None = None

    async def events(self, letter: DeadLetter) -> Sequence[Event]:
        """Return the events of `letter`, at their own positions, with `redriven` in their data.

        Raises `UnreadableEvent` for a letter that can't be read, with an error that
        quotes no encrypted content, and else as `PayloadReader` does.
        """
        events = [_stored_event(letter)] if is_stored(letter) else await self._read(letter)
        redriven = {
            "set_aside_at": _time(letter.first_failed_at),
            "redriven_at": _time(self.clock.now()),
        }
        return [replace(event, data={**event.data, "redriven": redriven}) for event in events]

    async def _read(self, letter: DeadLetter) -> list[Event]:
        raw = self.unsealed(letter)
        is_secret = raw is not letter.raw
        if (event := unprotected_event(raw)) is not None and event.channel == self.channel.path:
            return [event]
        message = await self._message(raw, letter)
        read = [message] if isinstance(message, Unreadable) else self.normalise([message])
        events: list[Event] = []
        for item in read:
            if isinstance(item, Unreadable):
                raise UnreadableEvent((item.summary or "It can't be decoded") if is_secret else item.error)
            events.append(item)
        return events

    async def _message(self, raw: bytes, letter: DeadLetter) -> JsonObject | Unreadable:
        try:
            message = bounded_json(raw)
        except OversizedJson as error:
            raise UnreadableEvent(f"its JSON is too large: {error}") from None
        except orjson.JSONDecodeError as error:
            if _is_of_cometd(letter):
                raise UnreadableEvent(f"not JSON: {error}") from None
            return await self._decoded(raw, letter)
        if not isinstance(message, dict) and letter.schema_id and not _is_of_cometd(letter):
            # A payload can be JSON by chance.
            return await self._decoded(raw, letter)
        return self._placed(message, letter)

    async def _decoded(self, raw: bytes, letter: DeadLetter) -> JsonObject | Unreadable:
        if not letter.schema_id:
            raise UnreadableEvent("no schema of its payload is known")
        if self.payloads is None:
            raise UnreadableEvent(
                "its schema comes over the Pub/Sub API, which no channel uses: set transport: pubsub"
            )
        piece = Unreadable(
            raw=raw,
            error="",
            replay_id=letter.replay_id,
            schema_id=letter.schema_id,
            event_uuid=letter.event_uuid,
        )
        return await self.payloads.message(piece, self.channel)

    def _placed(self, message: Any, letter: DeadLetter) -> JsonObject:
        """Return a message of this channel, with a position that JSON can't hold."""
        if not isinstance(message, dict) or not isinstance(message.get("data"), dict):
            raise UnreadableEvent("its bytes are not a message of a channel")
        path = message.get("channel")
        if type(path) is not str or without_filter(path) != without_filter(self.channel.path):
            raise UnreadableEvent(f"its message is not of {self.channel.path}")
        data = message["data"]
        if letter.replay_id is None or _is_of_cometd(letter) or not isinstance(data.get("event"), dict):
            return message
        about = {**data["event"], "replayId": bytes(letter.replay_id)}
        return {**message, "data": {**data, "event": about}}


def _is_of_cometd(letter: DeadLetter) -> bool:
    """Return true for a letter that has no position of the Pub/Sub API."""
    return letter.replay_id is None or is_of_cometd(letter.replay_id)


def _stored_event(letter: DeadLetter) -> Event:
    if letter.event is None:
        raise UnreadableEvent("its event holds data that JSON can't")
    try:
        data = bounded_json(letter.raw)
    except ValueError as error:
        raise UnreadableEvent(f"its event's data are no JSON: {error}") from None
    if not isinstance(data, dict):
        raise UnreadableEvent("its event's data are not an object")
    return replace(letter.event, data=data)


def _time(at: float) -> str:
    return from_epoch_ms(round(at * 1000))
