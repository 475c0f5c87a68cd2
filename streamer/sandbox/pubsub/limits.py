"""Limits of the Pub/Sub API: times, counts and sizes."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class PubSubLimits:
    """The limits, by default Salesforce's (Pub/Sub API guide, flow control and allocations).

    A stream that has sent nothing for `keepalive_s`, although its client has
    asked for events, sends an empty response. A subscription without credit ends
    after `idle_credit_s`, and a publish stream without events after
    `idle_publish_s`. A client can ask for `credit` events in all: more is cut to
    that, or ends the stream where `refuse_excess` is true. `streams` is the
    number of streams at a time.

    `replay_id_bytes` is the length of replay ids; clients take them as opaque.
    """

    keepalive_s: float = 270.0
    idle_credit_s: float = 60.0
    idle_publish_s: float = 70.0
    credit: int = 100
    refuse_excess: bool = False
    response_bytes: int = 3_000_000
    event_bytes: int = 1_000_000
    request_bytes: int = 4 * 1024 * 1024
    streams: int = 1_000
    replay_id_bytes: Literal[8, 10] = 8
