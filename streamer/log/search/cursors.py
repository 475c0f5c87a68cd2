"""Cursors: the spans that a search has not covered yet, as text for the next search."""

import base64
import binascii
import zlib
from collections import defaultdict
from collections.abc import Mapping

import orjson

from streamer.events import Partition
from streamer.log.search.chunks import Span

LONGEST = 6_000
"""Most characters of a cursor, so that it fits into the address of a request."""

_MOST_BYTES = 1024 * 1024
_FOREIGN = "the cursor is not that of a search by the same options: begin without it"


def encode_cursor(left: Mapping[Partition, Span], *, oldest_first: bool) -> str:
    """Return the cursor for the remaining spans; empty when it would be too long."""
    topics: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for partition, (begin, end) in left.items():
        topics[partition.topic].append((partition.number, begin, end))
    body = orjson.dumps({"v": 1, "oldest_first": oldest_first, "left": topics})
    text = base64.urlsafe_b64encode(zlib.compress(body, 9)).decode("ascii")
    return text if len(text) <= LONGEST else ""


def decode_cursor(text: str, *, oldest_first: bool) -> dict[Partition, Span]:
    """Return the spans in a cursor; raises `ValueError` for a text that is not a cursor of this order."""
    try:
        body = orjson.loads(_inflated(base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)))
        left = {
            Partition(topic=topic, number=_whole(number)): (_whole(begin), _whole(end))
            for topic, spans in body["left"].items()
            for number, begin, end in spans
        }
        is_ours = body["v"] == 1 and body["oldest_first"] is oldest_first
    except (LookupError, TypeError, ValueError, AttributeError, binascii.Error, zlib.error) as error:
        raise ValueError(_FOREIGN) from error
    if not is_ours:
        raise ValueError(_FOREIGN)
    return left


def _inflated(packed: bytes) -> bytes:
    inflate = zlib.decompressobj()
    body = inflate.decompress(packed, _MOST_BYTES)
    if not inflate.eof:
        raise ValueError("it is cut, or too large")
    return body


def _whole(number: object) -> int:
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError("it holds an invalid offset")
    return number
