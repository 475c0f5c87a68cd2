"""Compact form of one event's failed attempts, because a hundred thousand parked lanes can have them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, NamedTuple, TypeVar

from streamer.events import AttemptExchange, FailedAttempt, FailureClass

# Of an attempt: time, duration, failure. Of an exchange: size of the content, status, digest.
_NUMBERS = Struct("<ddB")
_HEAD = Struct("<IH8s")
_NO_DIGEST = bytes(8)
_FAILURES = tuple(FailureClass)
_MOST_TEXTS = 256

Shared = TypeVar("Shared", str, bytes, tuple[str, ...])


class TextPool:
    """Shares the memory of equal texts: many parked keys repeat one error and one answer."""

    def __init__(self) -> None:
        self._kept: dict[str | bytes | tuple[str, ...], Any] = {}

    def shared(self, value: Shared) -> Shared:
        """Return `value`, or an equal value that was used not long ago."""
        if len(self._kept) >= _MOST_TEXTS:
            self._kept.clear()
        found: Shared = self._kept.setdefault(value, value)
        return found


class _Details(NamedTuple):
    """Answer and request of an attempt; `head` has the rest of the exchange, and is empty without one."""

    answer: str = ""
    request: str = ""
    head: bytes = b""

    @classmethod
    def of(cls, attempt: FailedAttempt, texts: TextPool) -> "_Details":
        """Return the details of an attempt."""
        exchange = attempt.exchange
        if exchange is None:
            return cls(answer=texts.shared(attempt.answer))
        digest = bytes.fromhex(exchange.digest) or _NO_DIGEST
        head = _HEAD.pack(exchange.size, 0 if exchange.status is None else exchange.status, digest)
        lines = "\n".join(f"{name}:{value}" for name, value in exchange.headers.items())
        return cls(
            answer=texts.shared(attempt.answer),
            request=texts.shared(exchange.request),
            head=texts.shared(head + lines.encode()),
        )

    @property
    def exchange(self) -> AttemptExchange | None:
        """Exchange of the attempt, or `None`."""
        if not self.head:
            return None
        size, status, digest = _HEAD.unpack_from(self.head)
        lines = self.head[_HEAD.size :].decode().split("\n")
        return AttemptExchange(
            request=self.request,
            size=size,
            digest="" if digest == _NO_DIGEST else digest.hex(),
            status=status or None,
            headers=dict(line.split(":", 1) for line in lines if line),
        )


@dataclass(frozen=True, slots=True)
class AttemptHistory:
    """Attempts in few bytes; only the first and the last attempt have an answer and an exchange.

    `numbers` has the time, the duration and the failure of each attempt. The details of
    the first and the last attempt are fields, because objects of their own take more
    memory.
    """

    numbers: bytes = b""
    errors: tuple[str, ...] = ()
    first_answer: str = ""
    first_request: str = ""
    first_head: bytes = b""
    last_answer: str = ""
    last_request: str = ""
    last_head: bytes = b""

    @classmethod
    def of(cls, attempts: Sequence[FailedAttempt], texts: TextPool) -> "AttemptHistory":
        """Return packed `attempts`; equal texts share their memory in `texts`."""
        if not attempts:
            return NO_ATTEMPTS
        numbers = (_NUMBERS.pack(each.at, each.seconds, _FAILURES.index(each.failure)) for each in attempts)
        first = _Details.of(attempts[0], texts)
        last = _Details.of(attempts[-1], texts) if attempts[1:] else _Details()
        return cls(
            b"".join(numbers),
            texts.shared(tuple(texts.shared(each.error) for each in attempts)),
            *first,
            *last,
        )

    @property
    def attempts(self) -> tuple[FailedAttempt, ...]:
        """The attempts that were packed."""
        first = _Details(self.first_answer, self.first_request, self.first_head)
        last = _Details(self.last_answer, self.last_request, self.last_head)
        details = [first, *[_Details()] * (len(self.errors) - 2), last]
        return tuple(
            FailedAttempt(
                at=at,
                seconds=seconds,
                failure=_FAILURES[failure],
                error=error,
                answer=found.answer,
                exchange=found.exchange,
            )
            for (at, seconds, failure), error, found in zip(
                _NUMBERS.iter_unpack(self.numbers), self.errors, details, strict=False
            )
        )

    @property
    def first_at(self) -> float:
        """Time of the first attempt, or infinity without one."""
        at: float = _NUMBERS.unpack_from(self.numbers)[0] if self.numbers else math.inf
        return at


NO_ATTEMPTS = AttemptHistory()
"""History without attempts."""
