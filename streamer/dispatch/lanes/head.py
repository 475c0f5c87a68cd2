"""State of a lane's head: its retries, its failed attempts, and the halves of its event."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from struct import Struct
from typing import Any

from streamer.events import AttemptExchange, Entry, EventId, FailedAttempt, Setback

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


@dataclass(slots=True, kw_only=True)
class RetryState:
    """Attempts at the head of a lane, and when the next attempt is due; times are in epoch seconds.

    `history` also has attempts that were given back, because they were made.
    """

    attempts: int = 0
    tried_s: float = 0.0
    first_tried_at: float | None = None
    first_failed_at: float | None = None
    first_error: str = ""
    last_error: str = ""
    due_at: float = 0.0
    history: AttemptHistory = ()

    @property
    def failed_attempts(self) -> tuple[FailedAttempt, ...]:
        """The attempts, as far as they are kept."""
        return unpacked(self.history)

    def failed(self, attempt: FailedAttempt, reason: str, texts: TextPool) -> None:
        """Count one failed attempt with its duration and the whole `reason`."""
        reason = texts.shared(reason)
        self.noted(attempt, texts)
        self.attempts += 1
        self.tried_s += attempt.seconds
        self.last_error = reason
        if self.first_failed_at is None:
            self.first_failed_at, self.first_error = attempt.at, reason

    def noted(self, attempt: FailedAttempt, texts: TextPool) -> None:
        """Keep an attempt that did not deliver the head, without counting it."""
        self.history = packed(attempt.added_to(self.failed_attempts), texts)

    def give_back(self, attempts: int) -> None:
        """Subtract attempts whose failure was not the head's fault."""
        left = max(0, self.attempts - attempts)
        self.tried_s *= left / max(1, self.attempts)
        self.attempts = left
        if not self.attempts:
            self.first_failed_at, self.first_error, self.last_error = None, "", ""

    @property
    def fails_since(self) -> float:
        """Time of the first kept attempt that failed, or infinity without one."""
        return first_at(self.history)

    @property
    def setback(self) -> Setback:
        """Failures of the head, in the form that the log stores."""
        return Setback(
            attempts=self.attempts,
            first_failed_at=self.due_at if self.first_failed_at is None else self.first_failed_at,
            due_at=self.due_at,
            first_error=self.first_error,
            last_error=self.last_error,
            failed_attempts=self.failed_attempts,
        )


@dataclass(slots=True, kw_only=True)
class Halves:
    """Halves of one event, in a lane of a subscriber that has several upstream subscribers.

    `joined` has the other halves after these halves were joined with the head.
    `awaited` is the event of the head while halves are missing. `places` has the
    offsets of all entries of the lane by event; `None` if these offsets are unknown or
    not needed.
    """

    joined: tuple[Entry, ...] = ()
    awaited: EventId | None = None
    places: dict[EventId, list[int]] | None = None

    def forget_places(self, event: EventId, offsets: Collection[int]) -> None:
        """Drop the settled `offsets` of an event; keep offsets that a redrive has added since."""
        if self.places is not None:
            left = [offset for offset in self.places.pop(event, ()) if offset not in offsets]
            if left:
                self.places[event] = left
