"""Event-type patterns, with `*` for any run of characters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.ports import Wants


_ANY_RUN = "*"
_NOTHING = "(?!)"
_TYPES_REMEMBERED = 4096


def wants(patterns: Sequence[str]) -> Wants:
    """Return a predicate that is true for event types that match one of `patterns`, case-sensitively.

    The predicate caches its answer for each type, because an org has few types and many
    events.
    """
    any_pattern = "|".join(map(_regular_expression, patterns)) if patterns else _NOTHING
    matches = re.compile(any_pattern, re.DOTALL).fullmatch

    @lru_cache(_TYPES_REMEMBERED)
    def wanted(event_type: str) -> bool:
        return matches(event_type) is not None

    return wanted


def glob(pattern: str) -> str:
    """Return `pattern` in the syntax of SQLite's GLOB, where `?` and `[` are also special."""
    return re.sub(r"[?\[]", r"[\g<0>]", pattern)


def change_type_stem(entity: str) -> str:
    """Return the prefix that the types of all change events of `entity` share."""
    return f"salesforce.cdc.{entity}."


def _regular_expression(pattern: str) -> str:
    first, *others = map(re.escape, pattern.split(_ANY_RUN))
    if not others:
        return first
    # The first match of each part is as good as any later match, so later matches are not tried.
    # With some patterns, trying later matches would take far too long, and a request can contain
    # such a pattern.
    *inner, last = others
    return first + "".join(f"(?>.*?{part})" for part in inner if part) + ".*" + last
