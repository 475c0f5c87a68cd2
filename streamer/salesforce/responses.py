"""Responses of Salesforce: their bodies, read with limits, and the server's time."""

from email.utils import parsedate_to_datetime

from aiohttp import ClientResponse

from streamer.clock import Clock

# Time in which the largest answer, 64 MB, arrives at 2 Mbit/s.
_WHOLE_S = 300.0


class BodyTooLarge(Exception):
    """The body is larger than the limit."""


async def read_body(
    response: ClientResponse, clock: Clock, *, limit: int, idle_s: float, whole_s: float = _WHOLE_S
) -> bytes:
    """Return the complete body of `response`, of at most `limit` bytes.

    Raises `BodyTooLarge`, `TimeoutError` after `idle_s` without new bytes or
    `whole_s` in total, and aiohttp's `ClientPayloadError` if the connection
    ends too early.
    """
    chunks: list[bytes] = []
    size = 0
    # Without this limit, a server that sends a byte now and then would block a channel for ever.
    async with clock.timeout(whole_s):
        while not response.content.at_eof():
            async with clock.timeout(idle_s):
                chunk = await response.content.readany()
            size += len(chunk)
            if size > limit:
                raise BodyTooLarge(f"the answer has more than {limit} bytes")
            chunks.append(chunk)
    return b"".join(chunks)


def time_of(response: ClientResponse) -> float | None:
    """Return the server's time in epoch seconds, up to a second early; `None` without a valid date."""
    try:
        return parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError):
        return None
