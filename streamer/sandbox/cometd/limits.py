"""Limits of the CometD server: times, counts and sizes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CometdLimits:
    """The server's limits, by default Salesforce's (Streaming API guide, clients and timeouts).

    An idle connect is held for `hold_s`, a session lives for `reconnect_s` without a
    connect, and a routing cookie is valid for `cookie_s`. Clients that share one
    browser cookie are advised `busy_interval_ms`. The server waits `coalesce_s` after
    the first event of a batch, so that a busy stream arrives in larger batches. With
    `connect_reply_first`, the reply to a connect precedes its events. `chunked` and
    `gzip` change the transfer of bodies.
    """

    hold_s: float = 110.0
    reconnect_s: float = 40.0
    cookie_s: float = 3 * 3600.0
    request_bytes: int = 32_768
    response_events: int = 2_000
    response_bytes: int = 5_000_000
    clients: int = 1_000
    busy_interval_ms: int = 2_000
    coalesce_s: float = 0.0
    connect_reply_first: bool = False
    chunked: bool = False
    gzip: bool = False
    first_advice: Mapping[str, Any] = field(
        default_factory=lambda: {"interval": 0, "timeout": 110_000, "reconnect": "retry"}
    )
