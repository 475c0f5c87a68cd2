"""One HTTP request of a client and what its answer is made of."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

import orjson

from streamer.sandbox.bayeux import JsonObject
from streamer.sandbox.cometd.cookies import Cookies
from streamer.sandbox.cometd.session import Session
from streamer.sandbox.cometd.subscription import Delivery
from streamer.sandbox.faults.armed import Fault, Occasion, PendingFaults

# In the order in which they apply to one answer.
_MISHAPS = ("slow", "half_open", "lose_response", "broken_response")
_LOSING = frozenset({"half_open", "lose_response", "broken_response"})


@dataclass(slots=True, kw_only=True)
class Exchange:
    """What is known of a request and gathered for its answer.

    A request with several messages is not `alone`, and its connect is never
    held. `mishaps` are the faults that befall the answer on its way.
    `connected` is the session whose connect this answers.
    """

    version: float
    authorisation: str | None
    cookies: Cookies
    alone: bool
    replies: list[JsonObject] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    mishaps: list[Fault] = field(default_factory=list)
    connected: Session | None = None
    shook_hands: bool = False

    def deliver(self, batch: list[Delivery], pending: PendingFaults, *, on: str) -> None:
        """Add `batch`, decide what befalls the answer, and count the events as delivered.

        Counting comes last: a fault that is due after n events strikes the
        answer behind them, not the one that holds them.
        """
        self.deliveries += batch
        occasion = Occasion(on=on, version=self.version, events=len(batch))
        struck = [fault for name in _MISHAPS if (fault := pending.strike(name, occasion))]
        if any(fault.name in _LOSING for fault in struck):
            pending.lost += len(batch)
        self.mishaps += struck
        pending.delivered += len(batch)

    def body(self, *, replies_first: bool) -> bytes:
        """Return the answer as one JSON array; messages are joined as they were encoded."""
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
