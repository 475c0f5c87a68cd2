"""Parser of one Streaming API answer; a bad message costs only itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import orjson

from streamer.events import ReplayId, Unreadable
from streamer.exact_json import exact_value
from streamer.raw_json import OversizedJson, bounded_json
from streamer.schema_ids import schema_id_in

# Matches a whole string, or one structural byte. A lone quote is a string that never ends.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
SEAM = re.compile(rb'\},(?=\{"(?:channel|data|clientId)":)')
"""Possible boundary between two messages; the same bytes can occur inside a message."""

_CHANNEL = re.compile(rb'"channel"\s*+:\s*+"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
_REPLAY_ID = re.compile(rb'"replayId"\s*:\s*(\d{1,20})')


# Each takes a microsecond where a body is examined byte by byte.
_MOST_TOKENS = 1_000_000
# orjson reads 1,024 levels.
_DEEPEST = 20_000
_MOST_UNREADABLE = 10_000


class TornBody(Exception):
    """The body is not complete JSON: part of it was lost in transit."""


class Oversized(TornBody):
    """The body consists of so many pieces that they would not fit into memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Messages of one answer in order, and the unreadable pieces; `size` in bytes."""

    messages: list[Any]
    size: int
    unreadable: tuple[Unreadable, ...] = ()


def parse(body: bytes, *, is_part: bool = False) -> Frame:
    """Return the messages in `body`: a JSON array of messages, or one message.

    From a complete body with a message that is not JSON, such as invalid UTF-8, it
    still returns all others. A message can even leave brackets or a string open, if
    the last one is whole and `body` is a whole answer. Raises `TornBody`, and
    `Oversized` for a body whose values would take much memory.
    """
    return parse_json(body) or _piecemeal(body, is_part=is_part)


def parse_json(body: bytes) -> Frame | None:
    """Return the messages in `body` as `parse` does, or `None` where it is not JSON as a whole."""
    try:
        parsed = bounded_json(body)
    except OversizedJson as exc:
        raise Oversized(str(exc)) from exc
    except orjson.JSONDecodeError:
        return None
    return Frame(messages=parsed if isinstance(parsed, list) else [parsed], size=len(body))


def channels_named_in(raw: bytes) -> list[str]:
    """Return every value that a key `channel` seems to have in `raw`, the last one first."""
    return [name.decode(errors="replace").replace("\\/", "/") for name in reversed(_CHANNEL.findall(raw))]


def split(body: bytes) -> list[bytes]:
    """Return the elements of the array `body`, or `body` itself if it is an object.

    It examines only brackets and strings; an element need not be valid JSON.
    Raises `TornBody` when they do not close.
    """
    body = body.strip()
    array = b"[" + body + b"]" if body.startswith(b"{") else body
    return [piece for start, end in _elements(array) if (piece := array[start:end].strip())]


def _elements(array: bytes) -> Iterator[tuple[int, int]]:
    depth, start, end = 0, 1, 0
    for token in _TOKEN.finditer(array if array.startswith(b"[") else b""):
        mark, end = token[0], token.end()
        depth += (mark in {b"[", b"{"}) - (mark in {b"]", b"}"})
        if depth == 0 or (depth == 1 and mark == b","):
            yield start, token.start()
            start = end
        if depth == 0 or mark == b'"' or depth > _DEEPEST:
            break
    if depth or end < max(len(array), 1):
        raise TornBody(f"a body of {len(array)} bytes does not end where JSON should")


def _piecemeal(body: bytes, *, is_part: bool) -> Frame:
    marks = sum(body.count(mark) for mark in (b"{", b"[", b",", b'"'))
    if marks > _MOST_TOKENS:
        raise Oversized(f"a body of {len(body)} bytes with {marks} pieces, and not JSON as a whole")
    messages: list[Any] = []
    unreadable: list[Unreadable] = []
    for piece in split(body) if is_part else _pieces(body):
        try:
            messages.append(exact_value(piece))
        except orjson.JSONDecodeError as exc:
            if len(unreadable) == _MOST_UNREADABLE:
                raise Oversized(
                    f"an answer with more than {_MOST_UNREADABLE} pieces that are not JSON"
                ) from exc
            told = f"not JSON: {exc}"
            unreadable.append(
                Unreadable(
                    raw=piece,
                    error=told,
                    summary=told,
                    replay_id=_replay_id(piece),
                    schema_id=schema_id_in(piece),
                )
            )
    return Frame(messages=messages, size=len(body), unreadable=tuple(unreadable))


def _pieces(body: bytes) -> list[bytes]:
    try:
        return split(body)
    except TornBody:
        pieces = _seamed(body.strip())
        if not pieces or not _is_whole(pieces[-1]):
            raise
        return pieces


def _seamed(array: bytes) -> list[bytes]:
    """Return the pieces of an array that a message within it leaves open, cut where messages meet."""
    if not (array.startswith(b"[") and array.endswith(b"]")):
        return []
    inside = array[1:-1]
    cuts = [seam.start() + 1 for seam in SEAM.finditer(inside)]
    return [inside[start:end].lstrip(b",") for start, end in pairwise([0, *cuts, len(inside)])]


def _is_whole(piece: bytes) -> bool:
    """Return whether `piece` is a message: nothing behind it was lost in transit."""
    try:
        message = orjson.loads(piece)
    except orjson.JSONDecodeError:
        return False
    return isinstance(message, dict) and str(message.get("channel")).startswith("/")


def _replay_id(piece: bytes) -> ReplayId | None:
    found = _REPLAY_ID.search(piece)
    return ReplayId(found[1]) if found else None
