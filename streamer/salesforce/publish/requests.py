"""Bounds of publish requests, in events and bytes."""

from streamer.ports import Unpublished

LARGEST_EVENT = 1024 * 1024
"""Most bytes of an event; Salesforce refuses those of more than 1 MB (Pub/Sub API guide, allocations)."""

MOST_BYTES = 2_800_000
"""Most bytes of a request: Salesforce advises 3 MB, and ends the call of one of more than 4 MB."""

MOST_EVENTS = 200
"""Most events of a request, as Salesforce advises."""


def too_large(size: int) -> Unpublished | None:
    """Return the result of an event of `size` bytes, or `None` if Salesforce takes it."""
    if size <= LARGEST_EVENT:
        return None
    reason = f"it has {size:,} bytes; Salesforce takes 1 MB at most: send less in it"
    return Unpublished(code="too_large", reason=reason, sent=False)
