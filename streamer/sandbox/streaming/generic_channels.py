"""Generic channels of the org, which REST calls push messages to.

A channel is created as a record or by its first subscriber. Sources: REST API guide,
StreamingChannel push; Streaming API guide, generic streaming.
"""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

import orjson

from streamer.clock import Clock
from streamer.sandbox.org.bus import EventBus
from streamer.sandbox.org.definitions.streaming_objects import STREAMING_CHANNEL
from streamer.sandbox.org.field_values import timestamp
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.refusals import Refused

PREFIX = "/u/"
LONGEST_PAYLOAD = 3_000
"""Largest number of characters of a payload."""

_MOST_CHANNELS = 1_000
_MOST_ADDRESSED = 10_000


@dataclass(frozen=True, slots=True)
class AddressedView:
    """Shows one user the messages for everyone, and the messages that name the user."""

    user_id: str
    addressed: "OrderedDict[bytes, frozenset[str]]"

    def __call__(self, data: bytes) -> bytes | None:
        """Return the data of a message, or `None` if it is for others."""
        users = self.addressed.get(data)
        return data if users is None or self.user_id in users else None


class GenericChannels:
    """Publishes the messages that are pushed to a channel on `/u/…`."""

    def __init__(self, org: SandboxOrg, bus: EventBus, clock: Clock) -> None:
        self._org = org
        self._bus = bus
        self._clock = clock
        # The data of each message is unique, because it contains the replay id.
        self._addressed: OrderedDict[bytes, frozenset[str]] = OrderedDict()
        org.schema.rules[STREAMING_CHANNEL] = _check

    def refusal(self, path: str) -> str | None:
        """Return the reason why `path` can't be subscribed to, or `None` if it can.

        With an open schema, a subscription creates a missing channel.
        """
        entity = self._org.schema.entity(STREAMING_CHANNEL)
        found = self._org.records.find(entity, "Name", path)
        if any(channel["Name"] == path for channel in found):
            return None
        if found:
            return "404::channel names may not vary only by case"
        if self._org.schema.is_closed:
            return "404::Unknown channel"
        if self._org.records.count(entity) >= _MOST_CHANNELS:
            return "403::Unable to create channel dynamically, maximum channel limit has been exceeded"
        try:
            with self._org.transaction() as transaction:
                transaction.create(STREAMING_CHANNEL, {"Name": path, "IsDynamic": True})
        except Refused:
            return f"403::Cannot create channel {{{path}}}"
        return None

    def view(self, user_id: str) -> AddressedView:
        """Return the function that shows a user the messages for this user."""
        return AddressedView(user_id, self._addressed)

    def push(self, path: str, payload: str, user_ids: Collection[str] = ()) -> None:
        """Publish a message for the users with `user_ids`, or for everyone if `user_ids` is empty."""
        created = timestamp(self._clock.now())

        def encode(replay_id: int) -> bytes:
            event = {"createdDate": created, "replayId": replay_id}
            data = orjson.dumps({"event": event, "payload": payload})
            if user_ids:
                self._addressed[data] = frozenset(user_ids)
                if len(self._addressed) > _MOST_ADDRESSED:
                    self._addressed.popitem(last=False)
            return data

        self._bus.publish_raw([path], encode)


def _check(channel: Record) -> None:
    if not str(channel["Name"]).startswith(PREFIX):
        message = f"The name of a channel begins with {PREFIX}: {channel['Name']}"
        raise Refused("INVALID_FIELD", message, fields=["Name"])
