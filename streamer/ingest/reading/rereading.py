"""Reading of records again, for what their events do not tell."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import structlog

from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.errors import RetryLater, Stop, StreamerError
from streamer.events import Channel, JsonObject
from streamer.ports import RecordReader

_log = structlog.get_logger()

_BACKOFF = Backoff(first_s=10.0, limit_s=600.0)
_LEAST_LEFT = 0.2
_LOW_PAUSE_S = 900.0

# A CometD session ends 40 s after an answer whose channel has not asked for more.
_MOST_S = 10.0
_SHARE_OF_TIME = 0.25
_LEAST_S = 1.0

# One answer holds a few large fields of so many records in some megabytes.
_RECORDS = 50
_ENTITIES = 256
_ALL = ""

_Answer = TypeVar("_Answer")

Wanted = Mapping[str, Mapping[str, AbstractSet[str]]]
"""Names of fields, by entity and record id."""


@dataclass(slots=True, kw_only=True)
class _Pauses:
    """Pauses after failures, for one entity or for all."""

    clock: Clock
    _until: dict[str, float] = field(default_factory=dict)
    _delays: dict[str, Delays] = field(default_factory=dict)

    def hold(self, what: str) -> bool:
        """Return whether `what` has to wait."""
        return self.clock.monotonic() < self._until.get(what, 0.0)

    def begin(self, what: str, at_least_s: float) -> float:
        """Begin a pause, longer than the one before it, and return its seconds."""
        if len(self._until) > _ENTITIES:
            self._until.clear()
            self._delays.clear()
        delays = self._delays.setdefault(what, Delays(_BACKOFF))
        pause_s = max(at_least_s, delays.next_s())
        self._until[what] = self.clock.monotonic() + pause_s
        return pause_s

    def end(self, *what: str) -> None:
        """Begin with short pauses again."""
        for each in what:
            self._delays.pop(each, None)


@dataclass(slots=True, kw_only=True)
class Rereading:
    """Reads the records of one channel's events as they are now.

    It raises nothing and is always brief: it takes at most 10 s at once and a
    quarter of the time in the long run, so that a slow org does not hold up the
    channel. It asks for nothing while less time is left than the last answer
    took. After a failure it asks for nothing for 10 s, and longer each time. It
    leaves a fifth of the org's daily requests to others.
    """

    channel: Channel
    records: RecordReader
    clock: Clock
    _spare_s: float = field(default=_MOST_S, init=False)
    _spent_at: float | None = field(default=None, init=False)
    _pauses: _Pauses = field(init=False)
    _late: "asyncio.Task[Any] | None" = field(default=None, init=False)
    _took_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Begin without a pause."""
        self._pauses = _Pauses(clock=self.clock)

    async def read(self, wanted: Wanted) -> dict[str, JsonObject]:
        """Return the records that could be read, by id, with the wanted fields; others are left out."""
        found: dict[str, JsonObject] = {}
        for entity, fields_by_id in wanted.items():
            for ids in _parts(list(fields_by_id)):
                names = sorted(set().union(*(fields_by_id[each] for each in ids)))
                answer = await self.asked(entity, partial(self.records.read, entity, ids, names))
                if answer is None:
                    break
                found.update(answer)
        return found

    async def asked(self, entity: str, request: Callable[[], Coroutine[Any, Any, _Answer]]) -> _Answer | None:
        """Return the answer to one request about `entity`; `None` without one, or when it has to wait."""
        limit_s = self._limit_s()
        if limit_s < min(max(_LEAST_S, self._took_s), _MOST_S) or self._must_wait(entity):
            return None
        began = self.clock.monotonic()
        reading = asyncio.create_task(request(), name=f"reread {self.channel}")
        try:
            async with self.clock.timeout(limit_s):
                # A request can renew the token, and a renewal that is broken off can lose it:
                # what is late ends by itself.
                answer = await asyncio.shield(reading)
        except TimeoutError:
            self._failed(_ALL, entity, f"there was no answer in {limit_s:.0f} s")
        except RetryLater as error:
            self._failed(_ALL, entity, str(error), at_least_s=error.after_s or 0.0)
        except Stop as error:
            self._failed(_ALL, entity, str(error))
        except StreamerError as error:
            self._failed(entity, entity, str(error))
        else:
            self._pauses.end(_ALL, entity)
            self._leave_requests(entity)
            return answer
        finally:
            self._spare_s -= self.clock.monotonic() - began
            self._late = reading
            reading.add_done_callback(partial(self._ended, began))
        return None

    def _must_wait(self, entity: str) -> bool:
        is_late = self._late is not None and not self._late.done()
        return is_late or self._pauses.hold(_ALL) or self._pauses.hold(entity)

    def _leave_requests(self, entity: str) -> None:
        left = self.records.requests_left
        if left is not None and left < _LEAST_LEFT:
            reason = f"{left:.0%} of the org's daily requests are left, which others need"
            self._failed(_ALL, entity, reason, at_least_s=_LOW_PAUSE_S)

    def _failed(self, what: str, entity: str, reason: str, *, at_least_s: float = 0.0) -> None:
        pause_s = self._pauses.begin(what, at_least_s)
        _log.warning(
            "records.not_reread",
            channel=str(self.channel),
            entity=entity,
            reason=reason,
            tried_again_in_s=round(pause_s, 1),
        )

    def _ended(self, began: float, late: "asyncio.Task[Any]") -> None:
        self._took_s = self.clock.monotonic() - began
        # asyncio reports an error that nothing has looked at.
        if not late.cancelled() and late.exception() is None:
            self._pauses.end(_ALL)

    def _limit_s(self) -> float:
        """Return the seconds that the next request can take."""
        now = self.clock.monotonic()
        since_s = now - self._spent_at if self._spent_at is not None else 0.0
        self._spent_at = now
        self._spare_s = min(_MOST_S, self._spare_s + since_s * _SHARE_OF_TIME)
        return self._spare_s


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(ids), _RECORDS):
        yield ids[begin : begin + _RECORDS]
