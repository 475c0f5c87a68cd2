"""Limits of outbound messages: counts, times and the client's certificate."""

import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundLimits:
    """The limits; times are in seconds.

    An envelope has at most `notifications` notifications. An envelope that is not
    acknowledged is sent again after a delay, which doubles each time, up to
    `longest_retry_s`. `dropped_after_s` after the change, it is dropped (SOAP API
    guide, outbound messaging). The guide states neither the first delay nor the time
    limit for an answer, so the sandbox chooses `first_retry_s` and `answer_s`. `tls`
    decides which servers are trusted, and can contain a client certificate.
    """

    notifications: int = 100
    first_retry_s: float = 15.0
    longest_retry_s: float = 2 * 3600.0
    dropped_after_s: float = 24 * 3600.0
    answer_s: float = 60.0
    tls: ssl.SSLContext | None = None
