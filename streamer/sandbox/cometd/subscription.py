"""One client's subscription to one channel: its position and its next events."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice
from urllib.parse import parse_qsl

import orjson

from streamer.sandbox.org.bus import EventBus, StoredMessage

NEW_ONLY = -1
ALL_RETAINED = -2

MessageView = Callable[[bytes], bytes | None]
"""Function that returns the part of a message's data that a user can see.

`None` if the user can't see the message.
"""


@dataclass(slots=True, kw_only=True)
class ChannelSubscription:
    """A client's position in one channel.

    `name` is the channel that the client subscribed to, with the filter of a PushTopic;
    `path` is the channel on the bus. Every message up to the bus's sequence number
    `position` is delivered. The position is not a replay id, because split events share
    a replay id. `view` shows what the client's user can see, and `authorisation` is the
    header of the request that subscribed.
    """

    name: str
    path: str
    position: int
    view: MessageView | None = None
    authorisation: str | None = None

    def peek(self, bus: EventBus, limit: int) -> Sequence[StoredMessage]:
        """Return the next messages. The position moves only past messages that are not for this client."""
        if self.name == self.path and self.view is None:
            return bus.since(self.path, self.position, limit)
        found = list[StoredMessage]()
        at = self.position
        while len(found) < limit and (some := bus.since(self.path, at, limit)):
            at = some[-1].sequence
            found += (shown for message in some if (shown := self._shown(message)) is not None)
            if not found:
                self.position = at
        return found[:limit]

    def _shown(self, message: StoredMessage) -> StoredMessage | None:
        wanted = parse_qsl(self.name.partition("?")[2])
        if wanted and not _matches_any(message, wanted):
            return None
        if self.view is None:
            return message
        data = self.view(message.data)
        return None if data is None else replace(message, data=data)


def _matches_any(message: StoredMessage, wanted: Iterable[tuple[str, str]]) -> bool:
    # `&` in a filtered PushTopic means "or" (Streaming API guide, filtered subscriptions).
    try:
        sobject = orjson.loads(message.data)["sobject"]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        # An unreadable message has no fields, so no filter can leave it out.
        return True
    return any(str(sobject.get(name)) == value.strip("'") for name, value in wanted)


Delivery = tuple[ChannelSubscription, StoredMessage]


def next_batch(
    subscriptions: Mapping[str, ChannelSubscription], bus: EventBus, *, limit: int, max_bytes: int
) -> list[Delivery]:
    """Return the next messages for a client, from all its channels, in the order of publication.

    The batch has up to `limit` messages of about `max_bytes` in total, and at least one
    message if any is due. The positions of the subscriptions move past these messages.
    """
    streams = [
        [(subscription, message) for message in subscription.peek(bus, limit)]
        for subscription in subscriptions.values()
    ]
    streams = [stream for stream in streams if stream]
    ordered = streams[0] if len(streams) == 1 else list(islice(merge(*streams, key=_sequence), limit))
    batch = _within(ordered, max_bytes) if streams else []
    for subscription, message in batch:
        subscription.position = message.sequence
    return batch


def is_due(subscriptions: Mapping[str, ChannelSubscription], bus: EventBus) -> bool:
    """Return whether any channel has a message for the client."""
    return any(subscription.peek(bus, 1) for subscription in subscriptions.values())


def _sequence(delivery: Delivery) -> int:
    return delivery[1].sequence


def _within(batch: list[Delivery], max_bytes: int) -> list[Delivery]:
    size = 0
    for count, (_, message) in enumerate(batch):
        size += len(message.data)
        if size > max_bytes and count:
            return batch[:count]
    return batch
