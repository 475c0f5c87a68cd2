"""Parser of times in options."""

import re
from datetime import datetime, timedelta

import typer

from streamer.clock import SystemClock

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_HOW = "write 30m, 2h or 5d for a time ago, or a time such as 2026-01-31T09:30"


def moment(text: str) -> str:
    """Return a time as RFC 3339, from `2h` for two hours ago, or from an ISO time.

    An ISO time without a zone is in this machine's zone. Raises
    `typer.BadParameter`.
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
