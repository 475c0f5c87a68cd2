"""Reads records from the org to complete their events."""

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

# Salesforce ends a CometD session 40 s after an answer if a channel does not ask for more.
_MOST_S = 10.0
_SHARE_OF_TIME = 0.25
_LEAST_S = 1.0

# With a few large fields, this many records fit into an answer of some megabytes.
_RECORDS = 50
_ENTITIES = 256
_ALL = ""

_Answer = TypeVar("_Answer")

Wanted = Mapping[str, Mapping[str, AbstractSet[str]]]
"""Wanted field names, by entity and record id."""


@dataclass(slots=True, kw_only=True)
class _Pauses:
    """Pauses after failures, for one entity or for all entities."""

    clock: Clock
    _until: dict[str, float] = field(default_factory=dict)
    _delays: dict[str, Delays] = field(default_factory=dict)

    def hold(self, what: str) -> bool:
        """Return whether `what` must wait."""
        return self.clock.monotonic() < self._until.get(what, 0.0)

    def begin(self, what: str, at_least_s: float) -> float:
        """Begin a pause that is longer than the last pause; return the length in seconds."""
        if len(self._until) > _ENTITIES:
            self._until.clear()
            self._delays.clear()
        delays = self._delays.setdefault(what, Delays(_BACKOFF))
        pause_s = max(at_least_s, delays.next_s())
        self._until[what] = self.clock.monotonic() + pause_s
        return pause_s

    def end(self, *what: str) -> None:
        """Let the next pause be short again."""
        for each in what:
            self._delays.pop(each, None)


@dataclass(slots=True, kw_only=True)
class Rereading:
    """Reads the current records of one channel's events.

    It raises nothing. A slow org must not delay the channel: a call takes at most
    10 s, and all calls together take at most a quarter of the time. No request is
    sent if the last answer took longer than the time that is left. After a failure,
    requests pause for 10 s, and for longer after each further failure. A fifth of
    the org's daily requests stays unused.
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
        """Start without a pause."""
        self._pauses = _Pauses(clock=self.clock)

    async def read(self, wanted: Wanted) -> dict[str, JsonObject]:
        """Return the readable records, by id, with the wanted fields; other records are absent."""
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
        """Return the answer to one request about `entity`.

        The result is `None` without an answer, and if requests about the entity
        must wait.
        """
        limit_s = self._limit_s()
        if limit_s < min(max(_LEAST_S, self._took_s), _MOST_S) or self._must_wait(entity):
            return None
        began = self.clock.monotonic()
        reading = asyncio.create_task(request(), name=f"reread {self.channel}")
        try:
            async with self.clock.timeout(limit_s):
                # A request can renew the token, and a cancelled renewal can lose the token:
                # let a late request end by itself.
                answer = await asyncio.shield(reading)
        except TimeoutError:
            self._failed(_ALL, entity, f"the org did not answer in {limit_s:.0f} s")
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
            reason = f"only {left:.0%} of the org's daily requests are left, and other clients need them"
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
        # Reading the exception stops asyncio from reporting it.
        if not late.cancelled() and late.exception() is None:
            self._pauses.end(_ALL)

    def _limit_s(self) -> float:
        """Return the number of seconds that the next request may take."""
        now = self.clock.monotonic()
        since_s = now - self._spent_at if self._spent_at is not None else 0.0
        self._spent_at = now
        self._spare_s = min(_MOST_S, self._spare_s + since_s * _SHARE_OF_TIME)
        return self._spare_s


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(ids), _RECORDS):
        yield ids[begin : begin + _RECORDS]
