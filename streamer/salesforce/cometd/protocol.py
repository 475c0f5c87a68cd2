"""Salesforce's dialect of Bayeux: a parser of answers, and reactions to refusals and advice."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from typing import Any

import orjson

from streamer.events import ReplayId, Unreadable
from streamer.exact_json import OversizedJson, bounded_json, exact_value
from streamer.salesforce.sessions import Reaction
from streamer.schema_ids import schema_id_in

HANDSHAKE = "/meta/handshake"
CONNECT = "/meta/connect"
SUBSCRIBE = "/meta/subscribe"
UNSUBSCRIBE = "/meta/unsubscribe"
DISCONNECT = "/meta/disconnect"

JsonObject = dict[str, Any]

# Salesforce holds a connect for 110 s. Without limits, a server's advice could silence the client.
_LONGEST_INTERVAL_S = 60.0
_LONGEST_TIMEOUT_S = 180.0
_LONGEST_WAIT_MS = 3_600_000
_ERROR = re.compile(r"(\d{3}):([^:]*):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class BayeuxError:
    """Parsed error string of Bayeux, `code:args:message`."""

    code: int
    args: str
    message: str

    @classmethod
    def parse(cls, text: Any) -> "BayeuxError | None":
        """Return the error in `text`, or `None` if `text` has another form."""
        found = _ERROR.match(text) if isinstance(text, str) else None
        return cls(code=int(found[1]), args=found[2], message=found[3]) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The server's advice about reconnecting, limited to sensible values; later advice replaces earlier."""

    reconnect: str = "retry"
    interval_s: float = 0.0
    timeout_s: float = 110.0

    def updated(self, reply: JsonObject) -> "Advice":
        """Return this advice, changed by the advice in `reply`; invalid values are ignored."""
        said = reply.get("advice")
        if not isinstance(said, dict):
            return self
        reconnect = said.get("reconnect")
        return Advice(
            reconnect=reconnect if isinstance(reconnect, str) else self.reconnect,
            interval_s=min(_seconds(said.get("interval"), self.interval_s), _LONGEST_INTERVAL_S),
            timeout_s=min(_seconds(said.get("timeout"), self.timeout_s), _LONGEST_TIMEOUT_S),
        )


def causes(reply: Mapping[str, Any]) -> list[str]:
    """Return the causes that a refusal names; the true cause is first.

    Salesforce puts the true cause into `ext.sfdc.failureReason`; `error` can
    name another cause (Streaming API guide, handling errors).
    """
    ext = reply.get("ext")
    sfdc = ext.get("sfdc") if isinstance(ext, dict) else None
    reason = sfdc.get("failureReason") if isinstance(sfdc, dict) else None
    return [cause for cause in (reason, reply.get("error")) if isinstance(cause, str) and cause]


def reaction(reply: Mapping[str, Any]) -> Reaction:
    """Return the required reaction to the unsuccessful `reply` (Streaming API guide, error codes)."""
    errors = [error for cause in causes(reply) if (error := BayeuxError.parse(cause))]
    # A busy server reports 503 in the failure reason, while `error` can say 401.
    if any(error.code == HTTPStatus.SERVICE_UNAVAILABLE for error in errors):
        return Reaction.LEAVE_ALONE
    if _names_no_channel(reply):
        return Reaction.RETRY_CHANNEL
    for error in errors:
        for channel, code, pattern, result in _REACTIONS:
            if (
                (channel is None or reply.get("channel") == channel)
                and error.code == code
                and re.match(pattern, f"{error.args}:{error.message}")
            ):
                return result
    return Reaction.RETRY_CHANNEL if reply.get("channel") == SUBSCRIBE else Reaction.TRY_AGAIN


# Channel of the reply (any: None), code, pattern of `args:message`, reaction; the first match counts.
_REACTIONS: tuple[tuple[str | None, int, str, Reaction], ...] = (
    (None, 401, "", Reaction.RENEW_TOKEN),
    (None, 402, "", Reaction.HANDSHAKE),
    (None, 403, ":Unknown client", Reaction.HANDSHAKE),
    (None, 403, ":Client has not completed handshake", Reaction.HANDSHAKE),
    (None, 400, r":Client .*no BAYEUX_BROWSER cookie", Reaction.HANDSHAKE),
    (None, 400, ":Authenticated user id does not match", Reaction.HANDSHAKE),
    (None, 403, ":Organization total events daily limit exceeded", Reaction.WAIT_FOR_ALLOWANCE),
    (None, 403, ":Organization concurrent user limit exceeded", Reaction.LEAVE_ALONE),
    (None, 403, ":To protect all customers", Reaction.LEAVE_ALONE),
    (None, 400, ":API version in the URI is mandatory", Reaction.GIVE_UP),
    (None, 400, ":Unsupported API version", Reaction.GIVE_UP),
    (None, 400, ":Invalid connection type", Reaction.GIVE_UP),
    (SUBSCRIBE, 400, r":The replayId \{.*\} you provided was invalid", Reaction.REFUSE_REPLAY_ID),
    (SUBSCRIBE, 400, r":The replayId for channel \{.*\} wasn't found", Reaction.REFUSE_REPLAY_ID),
    (SUBSCRIBE, 403, "denied_by_", Reaction.RETRY_CHANNEL),
    (SUBSCRIBE, 400, ":", Reaction.REFUSE_CHANNEL),
    (SUBSCRIBE, 403, ":(Cannot create|Restricted|User not|Subscriber does not)", Reaction.REFUSE_CHANNEL),
    (SUBSCRIBE, 403, ":(Subscription limit|Unable to create|No access)", Reaction.REFUSE_CHANNEL),
    (SUBSCRIBE, 404, ":", Reaction.REFUSE_CHANNEL),
)


def _names_no_channel(reply: Mapping[str, Any]) -> bool:
    # A server that lost the session answers a subscription like this; the error in the answer can mislead.
    advice = reply.get("advice")
    return (
        reply.get("channel") == SUBSCRIBE
        and not reply.get("subscription")
        and isinstance(advice, dict)
        and advice.get("reconnect") == "handshake"
    )


def _seconds(milliseconds: Any, default: float) -> float:
    # To Python, `true` is an int. NaN or a negative wait would make the client loop without a pause.
    if type(milliseconds) in {int, float} and 0 <= milliseconds <= _LONGEST_WAIT_MS:
        return float(milliseconds) / 1000
    return default


# Matches a whole string or one structural byte. A lone quote begins a string that never ends.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
SEAM = re.compile(rb'\},(?=\{"(?:channel|data|clientId)":)')
"""Possible boundary between two messages; the same bytes can occur inside a message."""
_CHANNEL = re.compile(rb'"channel"\s*+:\s*+"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
_REPLAY_ID = re.compile(rb'"replayId"\s*:\s*(\d{1,20})')
# Examining a body byte by byte takes a microsecond per token.
_MOST_TOKENS = 1_000_000
# orjson reads 1,024 levels.
_DEEPEST = 20_000
_MOST_UNREADABLE = 10_000


class TornBody(Exception):
    """The body is not complete JSON: a part was lost in transit."""


class Oversized(TornBody):
    """The body has too many pieces to fit into memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Messages of one answer in order, and its unreadable pieces; `size` is in bytes."""

    messages: list[Any]
    size: int
    unreadable: tuple[Unreadable, ...] = ()


def parse(body: bytes, *, is_part: bool = False) -> Frame:
    """Return the messages in `body`, which is a JSON array of messages or one message.

    One message that is not JSON, for example because of invalid UTF-8, does
    not affect the other messages of a complete body. A message can even leave
    brackets or a string open, if `body` is a whole answer and its last message
    is complete. Raises `TornBody` for an incomplete body, and `Oversized` for
    a body whose values would need too much memory.
    """
    return parse_json(body) or _piecemeal(body, is_part=is_part)


def parse_json(body: bytes) -> Frame | None:
    """Return the messages in `body` as `parse` does, or `None` if `body` is not valid JSON."""
    try:
        parsed = bounded_json(body)
    except OversizedJson as exc:
        raise Oversized(str(exc)) from exc
    except orjson.JSONDecodeError:
        return None
    return Frame(messages=parsed if isinstance(parsed, list) else [parsed], size=len(body))


def channels_named_in(raw: bytes) -> list[str]:
    """Return every value of a possible key `channel` in `raw`, the last value first."""
    return [name.decode(errors="replace").replace("\\/", "/") for name in reversed(_CHANNEL.findall(raw))]


def split(body: bytes) -> list[bytes]:
    """Return the elements of the array `body`, or `body` itself if `body` is an object.

    Only brackets and strings are examined, so an element need not be valid JSON.
    Raises `TornBody` if the brackets or a string stay open.
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
        raise TornBody(f"the body of {len(array)} bytes is incomplete JSON")


def _piecemeal(body: bytes, *, is_part: bool) -> Frame:
    marks = sum(body.count(mark) for mark in (b"{", b"[", b",", b'"'))
    if marks > _MOST_TOKENS:
        raise Oversized(
            f"the body of {len(body)} bytes is not valid JSON, and has too many pieces ({marks}) to "
            "read them one by one"
        )
    messages: list[Any] = []
    unreadable: list[Unreadable] = []
    for piece in split(body) if is_part else _pieces(body):
        try:
            messages.append(exact_value(piece))
        except orjson.JSONDecodeError as exc:
            if len(unreadable) == _MOST_UNREADABLE:
                raise Oversized(
                    f"the answer has more than {_MOST_UNREADABLE} pieces that are not JSON"
                ) from exc
            told = f"a piece of the answer is not JSON: {exc}"
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
    """Cut an array at each possible boundary, because a message leaves brackets open; return the pieces."""
    if not (array.startswith(b"[") and array.endswith(b"]")):
        return []
    inside = array[1:-1]
    cuts = [seam.start() + 1 for seam in SEAM.finditer(inside)]
    return [inside[start:end].lstrip(b",") for start, end in pairwise([0, *cuts, len(inside)])]


def _is_whole(piece: bytes) -> bool:
    """Return whether `piece` is a complete message; if so, no bytes after it were lost in transit."""
    try:
        message = orjson.loads(piece)
    except orjson.JSONDecodeError:
        return False
    return isinstance(message, dict) and str(message.get("channel")).startswith("/")


def _replay_id(piece: bytes) -> ReplayId | None:
    found = _REPLAY_ID.search(piece)
    return ReplayId(found[1]) if found else None
