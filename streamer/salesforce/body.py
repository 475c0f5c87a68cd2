"""The body of an answer, read whole or not at all."""

from aiohttp import ClientResponse

from streamer.clock import Clock


class BodyTooLarge(Exception):
    """The answer is larger than we are willing to hold in memory."""


async def read_body(response: ClientResponse, clock: Clock, *, limit: int, idle_s: float) -> bytes:
    """Return the complete body of `response`, of at most `limit` bytes.

    Raises `BodyTooLarge`, `TimeoutError` after `idle_s` without any new bytes,
    and aiohttp's `ClientPayloadError` when the connection ends too early.
    """
    chunks: list[bytes] = []
    size = 0
    while not response.content.at_eof():
        async with clock.timeout(idle_s):
            chunk = await response.content.readany()
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(f"an answer of more than {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
