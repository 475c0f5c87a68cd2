"""Conversion of generic streaming messages to events."""

from collections.abc import Sequence
from typing import Any

from streamer.channel_paths import name_in_type
from streamer.events import Channel, Event, EventId, JsonObject, Unreadable
from streamer.normalise.malformed import each_read, replay_id_of
from streamer.normalise.times import from_text
from streamer.raw_json import bounded_json
from streamer.replay_ids import replay_id_to_text


class GenericNormaliser:
    """Turns each message of one generic channel into its event.

    The payload is what the sender wrote, text as a rule, and stays as it is
    (Streaming API guide, generic events). With a `key`, messages are ordered by
    that member of a payload that is a JSON object, or text that holds one; the
    others are ordered by nothing, as all are without a `key`.
    """

    def __init__(self, channel: Channel, *, key: str | None = None) -> None:
        self._channel = channel
        self._key = key
        self._name = name_in_type(channel.path)
        self._source = f"/salesforce/{channel.org}"

    def __call__(self, messages: Sequence[Any]) -> list[Event | Unreadable]:
        """Return the events of `messages` in order; a message that is not a generic event is `Unreadable`."""
        return each_read(messages, "a generic event", self._event)

    def _event(self, data: JsonObject) -> Event:
        about: JsonObject = data["event"]
        replay_id = replay_id_of(about)
        event_id = EventId(f"{self._channel}:{replay_id_to_text(replay_id)}")
        payload = data["payload"]
        return Event(
            id=event_id,
            source=self._source,
            type=f"salesforce.generic.{self._name}",
            subject=None,
            time=from_text(about["createdDate"]),
            key=self._key_of(payload, event_id),
            channel=self._channel.path,
            replay_id=replay_id,
            data={"entity": self._name, "payload": payload},
        )

    def _key_of(self, payload: Any, event_id: EventId) -> str:
        if self._key is None:
            return event_id
        if type(payload) is str:
            try:
                payload = bounded_json(payload)
            except ValueError:
                return event_id
        value = payload.get(self._key) if type(payload) is dict else None
        return event_id if value is None else str(value)
