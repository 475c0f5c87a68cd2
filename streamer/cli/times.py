"""Moments as people write them."""

import re
from datetime import datetime, timedelta

import typer

from streamer.clock import SystemClock

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_HOW = "write 30m, 2h or 5d, which are ago, or a time such as 2026-01-31T09:30"


def moment(text: str) -> str:
    """Return, as RFC 3339, what `2h` ago was, or an ISO time, of this machine's zone where it has none.

    Raises `typer.BadParameter`.
    """
    try:
        return (_ago(text) or datetime.fromisoformat(text).astimezone()).isoformat()
    except (ValueError, OverflowError):
        raise typer.BadParameter(_HOW) from None


def _ago(text: str) -> datetime | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None:
        return None
    now = datetime.fromtimestamp(SystemClock().now()).astimezone()
    return now - timedelta(**{_UNITS[match[2]]: float(match[1])})
