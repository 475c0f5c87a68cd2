"""Conversion of platform events, PushTopic notifications, generic and outbound messages to events."""

import re
from collections.abc import Sequence
from typing import Any

from streamer.channel_paths import name_in_type, without_filter
from streamer.events import Channel, Event, EventId, JsonObject, ReplayId, Unreadable, replay_id_to_text
from streamer.exact_json import bounded_json
from streamer.normalise.malformed import each_read, from_epoch_ms, from_text, replay_id_of, unreadable


class GenericNormaliser:
    """Turns each message of one generic channel into its event.

    The payload is what the sender wrote, usually a text, and is not changed
    (Streaming API guide, generic events). `key` names a member of the payload's
    JSON object, or of the object in its text; the member's value orders the
    messages. Messages without that member are not ordered. Without a `key`, no
    message is ordered.
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


_LONGEST_ID = 255


class PushTopicNormaliser:
    """Turns each notification of one PushTopic into its event.

    A notification has the type of the change, its time and its position in
    `data.event`, and the fields of the topic's query in `data.sobject` (Streaming
    API guide, PushTopic notifications). It contains neither the object nor the
    names of the changed fields. If the query omits the record's `Id`, the event is
    not ordered with other events.
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
        if type(change) is not str or not change.isidentifier() or len(change) > _LONGEST_ID:
            raise ValueError("type is not a known type of change")
        if type(fields) is not dict:
            raise ValueError("sobject is not an object")
        replay_id = replay_id_of(about)
        record_id = fields.get("Id")
        # The record id becomes a part of event ids, and thus of checkpoints, which must stay small.
        if type(record_id) is not str or not 0 < len(record_id) <= _LONGEST_ID:
            record_id = None
        # Notifications with the same replay id differ in their record or their change.
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


# Thousands of ids and names are kept as keys of caches. Without a UUID, the id contains the position.
_LONGEST_NAME = 500


class PlatformEventNormaliser:
    """Turns each platform event message of one channel into its event.

    The event id is the `EventUuid` (sent by endpoints since 52.0). A publisher's
    duplicate has the same `EventUuid` and another replay id. Without an
    `EventUuid`, the id is made from the position. A custom channel can carry
    several kinds of events, and `EventApiName` names the kind; the path of any
    other channel names its event.
    """

    def __init__(self, channel: Channel, *, key: str | None = None) -> None:
        """Read the messages of `channel`; the field `key`, if given, orders them."""
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
        if len(name) > _LONGEST_NAME or not name.isidentifier():
            raise ValueError("EventApiName is not the API name of an event")
        uuid = about.get("EventUuid") or f"{self._channel}:{replay_id_to_text(replay_id)}"
        if type(uuid) is not str:
            raise ValueError("EventUuid is not a text")
        if len(uuid) > _LONGEST_NAME:
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


_RECORD_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")


class OutboundNormaliser:
    """Turns each notification of one channel into its event.

    The event id is the notification's id, which stays the same when Salesforce
    repeats the notification. A notification has no commit time, so the event has
    the time of its arrival. A notification also has no position, so its id is used
    as the position.
    """

    def __init__(self, channel: Channel) -> None:
        self._path = channel.path
        self._source = f"/salesforce/{channel.org}"

    def __call__(self, messages: Sequence[Any]) -> list[Event | Unreadable]:
        """Return the events of `messages` in order; a message that is not a notification is `Unreadable`."""
        return [self._read(message) for message in messages]

    def _read(self, message: Any) -> Event | Unreadable:
        try:
            return self._event(message)
        except Exception as error:  # noqa: BLE001 - a bad message must not affect the other messages
            return unreadable(message, "an outbound message", error)

    def _event(self, message: JsonObject) -> Event:
        fields: JsonObject = dict(message["fields"])
        notification = _record_id(message["notification_id"], "the notification's Id")
        record = _record_id(fields.pop("Id", None), "the record's Id")
        entity = message["entity"]
        if not entity or not entity.isidentifier():
            raise ValueError("the type of the sObject is not the API name of an object")
        return Event(
            id=EventId(notification),
            source=self._source,
            type=f"salesforce.outbound.{entity}",
            subject=record,
            time=from_epoch_ms(message["received_ms"]),
            key=record,
            channel=self._path,
            replay_id=ReplayId(notification.encode()),
            data={
                "record_id": record,
                "entity": entity,
                "fields": fields,
                "organization_id": message["organization_id"],
                "action_id": message["action_id"],
            },
        )


def _record_id(value: Any, what: str) -> str:
    if type(value) is not str or not _RECORD_ID.fullmatch(value):
        raise ValueError(f"{what} is not a Salesforce id")
    return value
