"""Outcome table: the outcome of each HTTP status, with a subscriber's changes."""

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BeforeValidator, Field


class OutcomeKind(StrEnum):
    """Kind of outcome, in the words of the configuration."""

    DELIVERED = "delivered"
    RETRY = "retry"
    HOLD = "hold"
    REJECT = "reject"
    SKIP = "skip"
    DISABLE = "disable"


DEFAULTS: Mapping[str, OutcomeKind] = MappingProxyType(
    {
        "1xx": OutcomeKind.REJECT,
        "2xx": OutcomeKind.DELIVERED,
        "3xx": OutcomeKind.REJECT,
        "4xx": OutcomeKind.REJECT,
        "5xx": OutcomeKind.RETRY,
        # A key that was rotated must not turn a day's events into dead letters.
        "401": OutcomeKind.HOLD,
        "403": OutcomeKind.HOLD,
        "408": OutcomeKind.RETRY,
        "410": OutcomeKind.DISABLE,
        "425": OutcomeKind.RETRY,
        # A rate limit is not the event's fault.
        "429": OutcomeKind.HOLD,
    }
)
"""Outcome of each status or class without a subscriber's changes."""

_SHOWN = 20
_STATUS = "[2-5]([0-9][0-9]|xx)"


def _status(key: Any) -> str:
    if isinstance(key, int | str) and re.fullmatch(_STATUS, str(key)):
        return str(key)
    shown = str(key)[:_SHOWN]
    raise ValueError(f"{shown} is neither a status from 200 to 599, such as 404, nor a class, such as 4xx")


OutcomeChanges = Mapping[
    Annotated[
        str,
        BeforeValidator(_status, json_schema_input_type=Annotated[str, Field(pattern=f"^{_STATUS}$")]),
    ],
    OutcomeKind,
]
"""Subscriber's changes to the table, by single statuses such as `404` and classes such as `4xx`."""


class OutcomeTable:
    """Default outcomes with a subscriber's changes.

    A single status takes precedence over a class, also a default one: a change
    of `4xx` does not affect 401 and the other single statuses.
    """

    def __init__(self, changes: Mapping[str, OutcomeKind] = MappingProxyType({})) -> None:
        self._changes = changes
        self._table = {**DEFAULTS, **changes}

    def of(self, status: int) -> OutcomeKind:
        """Return the outcome of `status`; one outside 100 to 599 counts as 1xx or 5xx."""
        return self._table[self._row(status)]

    def is_changed(self, status: int) -> bool:
        """Return true when the outcome of `status` is a subscriber's change."""
        return self._row(status) in self._changes

    def _row(self, status: int) -> str:
        single = str(status)
        return single if single in self._table else f"{min(max(status // 100, 1), 5)}xx"
