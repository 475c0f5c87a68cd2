"""Salesforce's time, as its HTTP responses state it in the header `Date`."""

from email.utils import parsedate_to_datetime

import aiohttp


def time_of(response: aiohttp.ClientResponse) -> float | None:
    """Return the server's time in epoch seconds, up to a second early; `None` without a valid date."""
    try:
        return parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError):
        return None
