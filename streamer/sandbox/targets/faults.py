"""Faults of a receiver."""

import re
from dataclasses import dataclass
from enum import Enum


class MalformedAnswer(Enum):
    """Malformed answers with status 200, which a client must not accept or keep in memory."""

    HTML = (b"<!DOCTYPE html><html><body>Please sign in</body></html>", "text/html")
    INVALID_JSON = (b'{"number": "INV-', "application/json")
    LIST = (b"[1, 2, 3]", "application/json")
    HUGE = (b'{"ok": true, "number": "' + b"9" * (3 * 1024 * 1024) + b'"}', "application/json")


@dataclass(slots=True, kw_only=True)
class TargetFaults:
    """Switches that can be turned at any time; all are off at first.

    `down` closes every connection without an answer. `slow_s` delays each answer by the
    receiver's clock. `retry_after` answers 429, or `busy_status`, with this value as
    the header Retry-After. Requests whose key matches the regular expression
    `fail_keys` get `fail_status`. `malformed_answer` is returned without carrying out
    the request. `unauthorized` refuses every request. `lose_answers` is a number of
    requests that are carried out, but whose connections are closed without an answer.
    `echo` repeats the request's credentials in the answers that report a fault.
    """

    down: bool = False
    slow_s: float = 0.0
    retry_after: str | None = None
    busy_status: int = 429
    fail_keys: str | None = None
    fail_status: int = 500
    malformed_answer: MalformedAnswer | None = None
    unauthorized: bool = False
    lose_answers: int = 0
    echo: bool = False

    def fails(self, key: str | None) -> bool:
        """Return whether requests with `key` fail."""
        return self.fail_keys is not None and re.search(self.fail_keys, key or "") is not None
