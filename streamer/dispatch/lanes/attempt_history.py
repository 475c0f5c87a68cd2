"""Failed attempts of one event in few bytes, because a hundred thousand parked lanes can have some."""

import math
from struct import Struct
from typing import Any

from streamer.events import AttemptExchange, FailedAttempt

# The time and the duration of an attempt, and of an exchange: size of the content, status, digest.
_TIMES = Struct("<dd")
_HEAD = Struct("<IH8s")
_NO_DIGEST = bytes(8)
_MOST_TEXTS = 256

AttemptHistory = tuple[Any, ...]
"""Packed attempts: times, then failures and errors, then the details of the first and the last attempt."""


class TextPool:
    """Shares the memory of equal texts: many parked keys repeat one error and one answer."""

    def __init__(self) -> None:
        self._texts: dict[str | bytes, Any] = {}

    def shared(self, text: Any) -> Any:
        """Return `text`, or an equal text that was used not long ago."""
        if len(self._texts) >= _MOST_TEXTS:
            self._texts.clear()
        return self._texts.setdefault(text, text)


def packed(attempts: tuple[FailedAttempt, ...], texts: TextPool) -> AttemptHistory:
    """Return `attempts` in few bytes; only the first and the last have an answer and an exchange."""
    if not attempts:
        return ()
    times = b"".join(_TIMES.pack(each.at, each.seconds) for each in attempts)
    errors = (part for each in attempts for part in (each.failure, texts.shared(each.error)))
    ends = attempts[:1] + attempts[1:][-1:]
    return (times, *errors, *(part for each in ends for part in _details(each, texts)))


def unpacked(history: AttemptHistory) -> tuple[FailedAttempt, ...]:
    """Return the attempts that `packed` has packed."""
    if not history:
        return ()
    times = tuple(_TIMES.iter_unpack(history[0]))
    errors, details = history[1 : 1 + 2 * len(times)], history[1 + 2 * len(times) :]
    found = []
    for number, (at, seconds) in enumerate(times):
        answer, exchange = "", None
        if number in {0, len(times) - 1}:
            answer, request, head = details[:3] if number == 0 else details[-3:]
            exchange = None if head is None else _exchange(request, head)
        found.append(
            FailedAttempt(
                at=at,
                seconds=seconds,
                failure=errors[2 * number],
                error=errors[2 * number + 1],
                answer=answer,
                exchange=exchange,
            )
        )
    return tuple(found)


def first_at(history: AttemptHistory) -> float:
    """Return the time of the first attempt, or infinity without one."""
    at: float = _TIMES.unpack_from(history[0])[0] if history else math.inf
    return at


def _details(attempt: FailedAttempt, texts: TextPool) -> tuple[str, str, bytes | None]:
    exchange = attempt.exchange
    if exchange is None:
        return texts.shared(attempt.answer), "", None
    digest = bytes.fromhex(exchange.digest) or _NO_DIGEST
    head = _HEAD.pack(exchange.size, 0 if exchange.status is None else exchange.status, digest)
    lines = "\n".join(f"{name}:{value}" for name, value in exchange.headers.items())
    return texts.shared(attempt.answer), texts.shared(exchange.request), texts.shared(head + lines.encode())


def _exchange(request: str, head: bytes) -> AttemptExchange:
    size, status, digest = _HEAD.unpack_from(head)
    lines = head[_HEAD.size :].decode().split("\n")
    return AttemptExchange(
        request=request,
        size=size,
        digest="" if digest == _NO_DIGEST else digest.hex(),
        status=status or None,
        headers=dict(line.split(":", 1) for line in lines if line),
    )
