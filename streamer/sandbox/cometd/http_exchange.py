"""One HTTP request of a client, and the parts of the answer."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

import orjson

from streamer.sandbox.bayeux import JsonObject
from streamer.sandbox.cometd.cookies import Cookies
from streamer.sandbox.cometd.session import CometdSession
from streamer.sandbox.cometd.subscription import Delivery
from streamer.sandbox.faults.armed import ArmedFaults, Fault, InjectionPoint

# In the order in which they apply to one answer.
_RESPONSE_FAULTS = ("slow", "half_open", "lose_response", "broken_response")
_LOSES_EVENTS = frozenset({"half_open", "lose_response", "broken_response"})


@dataclass(slots=True, kw_only=True)
class HttpExchange:
    """The state of a request, and its collected answer.

    `is_single` is false for a request with several messages; its connect is never held.
    `faults` are the faults that strike while the answer is sent. `connected` is the
    session whose connect this exchange answers.
    """

    version: float
    authorisation: str | None
    cookies: Cookies
    is_single: bool
    replies: list[JsonObject] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    connected: CometdSession | None = None
    did_handshake: bool = False

    def deliver(self, batch: list[Delivery], armed: ArmedFaults, *, on: str) -> None:
        """Add `batch`, choose the faults that strike the answer, and count the events as delivered.

        The events are counted last. So a fault that is due after n events does not
        strike the answer that contains these events, but the next answer.
        """
        self.deliveries += batch
        point = InjectionPoint(on=on, version=self.version, events=len(batch))
        struck = [fault for name in _RESPONSE_FAULTS if (fault := armed.strike(name, point))]
        if any(fault.name in _LOSES_EVENTS for fault in struck):
            armed.lost += len(batch)
        self.faults += struck
        armed.delivered += len(batch)

    def body(self, *, replies_first: bool) -> bytes:
        """Return the answer as one JSON array; messages that are already encoded are joined unchanged."""
        replies = [orjson.dumps(reply) for reply in self.replies]
        if not self.deliveries:
            return b"[" + b",".join(replies) + b"]"
        events = _joined(self.deliveries)
        parts = [*replies, events] if replies_first else [events, *replies]
        return b"[" + b",".join(parts) + b"]"


def _joined(deliveries: Iterable[Delivery]) -> bytes:
    heads: dict[str, bytes] = {}
    for subscription, _ in deliveries:
        if subscription.path not in heads:
            heads[subscription.path] = b'},{"channel":' + orjson.dumps(subscription.path) + b',"data":'
    pieces = chain.from_iterable((heads[sub.path], message.data) for sub, message in deliveries)
    # Each piece closes the message before it; the first has none to close.
    return b"".join(pieces)[2:] + b"}"
