"""Conversion of PushTopic notifications to events."""

from collections.abc import Sequence
from typing import Any

from streamer.channel_paths import name_in_type, without_filter
from streamer.events import Channel, Event, EventId, JsonObject, Unreadable
from streamer.normalise.malformed import each_read, replay_id_of
from streamer.normalise.times import from_text
from streamer.replay_ids import replay_id_to_text

_LONGEST = 255


class PushTopicNormaliser:
    """Turns each notification of one PushTopic into its event.

    A notification has the type of the change, its time and position in
    `data.event`, and the fields of the topic's query in `data.sobject`
    (Streaming API guide, PushTopic notifications). It tells neither the object
    nor the fields that changed. One without a record's `Id`, such as the query
    of the topic can leave out, is ordered by its own id.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._topic = f"{channel.org}{without_filter(channel.path)}"
        self._name = name_in_type(channel.path)
        self._source = f"/salesforce/{channel.org}"

    def __call__(self, messages: Sequence[Any]) -> list[Event | Unreadable]:
        """Return the events of `messages` in order; a message that is not a notification is `Unreadable`."""
        return each_read(messages, "a PushTopic notification", self._event)

    def _event(self, data: JsonObject) -> Event:
        about: JsonObject = data["event"]
        change, fields = about["type"], data["sobject"]
        if type(change) is not str or not change.isidentifier() or len(change) > _LONGEST:
            raise ValueError("type is not the name of a change")
        if type(fields) is not dict:
            raise ValueError("sobject is of another type")
        replay_id = replay_id_of(about)
        record_id = fields.get("Id")
        # It goes into ids, and so into checkpoints, which have to stay small.
        if type(record_id) is not str or not 0 < len(record_id) <= _LONGEST:
            record_id = None
        # Whatever shares a replay id is told apart by its record and its change.
        position = f"{self._topic}:{replay_id_to_text(replay_id)}"
        event_id = EventId(":".join((position, record_id or "", change)))
        return Event(
            id=event_id,
            source=self._source,
            type=f"salesforce.topic.{self._name}.{change}",
            subject=record_id,
            time=from_text(about["createdDate"]),
            key=record_id or event_id,
            channel=self._channel.path,
            replay_id=replay_id,
            data={"record_id": record_id, "entity": self._name, "change": change, "fields": fields},
        )
