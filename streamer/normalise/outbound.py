"""Conversion of outbound messages, as the endpoint has parsed them, to events."""

import re
from collections.abc import Sequence
from typing import Any

from streamer.events import Channel, Event, EventId, JsonObject, ReplayId, Unreadable
from streamer.normalise.malformed import unreadable
from streamer.normalise.times import from_epoch_ms

_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")


class OutboundNormaliser:
    """Turns each notification of one channel into its event.

    The id belongs to the notification, which Salesforce repeats until it is
    acknowledged. A notification carries no commit time, so the event has the time
    of its arrival. Its id also stands for its position, since the channel has none.
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
        except Exception as error:  # noqa: BLE001 - whatever a message does, it costs only itself
            return unreadable(message, "an outbound message", error)

    def _event(self, message: JsonObject) -> Event:
        fields: JsonObject = dict(message["fields"])
        notification = _id(message["notification_id"], "the notification's Id")
        record = _id(fields.pop("Id", None), "the record's Id")
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


def _id(value: Any, what: str) -> str:
    if type(value) is not str or not _ID.fullmatch(value):
        raise ValueError(f"{what} is not an id of Salesforce")
    return value
