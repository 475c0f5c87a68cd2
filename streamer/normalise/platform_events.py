"""Conversion of platform event messages, in the shape of CometD, to events."""

from collections.abc import Sequence
from typing import Any

from streamer.events import Channel, Event, EventId, JsonObject, Unreadable
from streamer.normalise.malformed import each_read, replay_id_of
from streamer.normalise.times import from_text
from streamer.replay_ids import replay_id_to_text

# Ids and names are kept by the thousand, as keys of caches. A position is part of an id without a UUID.
_LONGEST = 500


class PlatformEventNormaliser:
    """Turns each platform event message of one channel into its event.

    The id is the `EventUuid` (sent by endpoints from 52.0 on), which a
    publisher's duplicate repeats under another replay id. Without one, the id
    is made of the position. `EventApiName` names the event on a custom channel,
    which can carry several kinds; any other channel carries the one that its
    path names.
    """

    def __init__(self, channel: Channel, *, key: str | None = None) -> None:
        """Read the messages of `channel`, ordered by the field `key` if given."""
        self._channel = channel
        self._key = key
        self._name = channel.path.rpartition("/")[2]
        self._is_shared = self._name.endswith("__chn")
        self._source = f"/salesforce/{channel.org}"

    def __call__(self, messages: Sequence[Any]) -> list[Event | Unreadable]:
        """Return the events of `messages` in order; messages of other kinds are `Unreadable`."""
        return each_read(messages, "a platform event", self._event)

    def _event(self, data: JsonObject) -> Event:
        payload: JsonObject = data["payload"]
        about: JsonObject = data["event"]
        replay_id = replay_id_of(about)
        name = (about.get("EventApiName") if self._is_shared else None) or self._name
        if len(name) > _LONGEST or not name.isidentifier():
            raise ValueError("EventApiName is not the API name of an event")
        uuid = about.get("EventUuid") or f"{self._channel}:{replay_id_to_text(replay_id)}"
        if type(uuid) is not str:
            raise ValueError("EventUuid is of another type")
        if len(uuid) > _LONGEST:
            raise ValueError(f"EventUuid has {len(uuid)} characters")
        event_id = EventId(uuid)
        return Event(
            id=event_id,
            source=self._source,
            type=f"salesforce.event.{name}",
            subject=None,
            time=from_text(payload["CreatedDate"]),
            key=self._key_of(payload, event_id),
            channel=self._channel.path,
            replay_id=replay_id,
            data={"entity": name, "fields": dict(payload)},
        )

    def _key_of(self, payload: JsonObject, event_id: EventId) -> str:
        value = payload.get(self._key) if self._key else None
        return event_id if value is None else str(value)
