"""What the status of an answer means: one table, and what a subscriber changes in it."""

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BeforeValidator


class Meaning(StrEnum):
    """What came of a request, in the words of the configuration."""

    DELIVERED = "delivered"
    RETRY = "retry"
    HOLD = "hold"
    REJECT = "reject"
    SKIP = "skip"
    DISABLE = "disable"


USUAL: Mapping[str, Meaning] = MappingProxyType(
    {
        "1xx": Meaning.REJECT,
        "2xx": Meaning.DELIVERED,
        "3xx": Meaning.REJECT,
        "4xx": Meaning.REJECT,
        "5xx": Meaning.RETRY,
        # A key that was rotated must not turn a day's events into dead letters.
        "401": Meaning.HOLD,
        "403": Meaning.HOLD,
        "408": Meaning.RETRY,
        "410": Meaning.DISABLE,
        "425": Meaning.RETRY,
        # A limit is no fault of the event.
        "429": Meaning.HOLD,
    }
)
"""What each status means where a subscriber says nothing else."""

_SHOWN = 20


def _status(key: Any) -> str:
    if isinstance(key, int | str) and re.fullmatch(r"[2-5]([0-9][0-9]|xx)", str(key)):
        return str(key)
    shown = str(key)[:_SHOWN]
    raise ValueError(f"{shown} is neither a status from 200 to 599, such as 404, nor a class, such as 4xx")


Changes = Mapping[Annotated[str, BeforeValidator(_status)], Meaning]
"""What a subscriber changes in the table, by single statuses such as `404` and classes such as `4xx`."""


class Meanings:
    """The table with a subscriber's changes in it.

    A single status beats a class, the table's own ones included: with `4xx`
    changed, 401 and the other single ones mean what they did.
    """

    def __init__(self, changes: Mapping[str, Meaning] = MappingProxyType({})) -> None:
        self._changes = changes
        self._table = {**USUAL, **changes}

    def of(self, status: int) -> Meaning:
        """Return what `status` means; those that no standard knows count as 1xx or 5xx."""
        return self._table[self._decisive(status)]

    def is_changed(self, status: int) -> bool:
        """Return whether it was the subscriber that said what `status` means."""
        return self._decisive(status) in self._changes

    def _decisive(self, status: int) -> str:
        single = str(status)
        return single if single in self._table else f"{min(max(status // 100, 1), 5)}xx"
