"""Limits of the Pub/Sub API: times, counts and sizes."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class PubSubLimits:
    """The limits, by default Salesforce's (Pub/Sub API guide, flow control and allocations).

    If a client has requested events, and the stream has sent nothing for `keepalive_s`,
    the stream sends an empty response. A subscription without credit ends after
    `idle_credit_s`, and a publish stream without events ends after `idle_publish_s`. A
    client can have at most `credit` requested events at a time. A higher request is cut
    to this number or, with `refuse_excess`, ends the stream. `streams` is the largest
    number of simultaneous streams.

    `replay_id_bytes` is the length of replay ids, which are opaque for clients.
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
