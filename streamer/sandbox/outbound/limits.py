"""Limits of outbound messages: counts, times and the client's certificate."""

import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundLimits:
    """The limits; times in seconds.

    An envelope holds `notifications` at most. One that is not acknowledged is
    sent again after a delay that doubles up to `longest_retry_s`, and dropped
    `dropped_after_s` after the change (SOAP API guide, outbound messaging). The
    guide names neither the first delay nor the time in which an answer must
    come: `first_retry_s` and `answer_s` are the sandbox's own. `tls` decides
    which servers are trusted, and can hold a client certificate.
    """

    notifications: int = 100
    first_retry_s: float = 15.0
    longest_retry_s: float = 2 * 3600.0
    dropped_after_s: float = 24 * 3600.0
    answer_s: float = 60.0
    tls: ssl.SSLContext | None = None
