"""Reading of records for events: permission for calls, batches, and the fields to read."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.dispatch.lookups.cache import FieldNames, Found
from streamer.errors import RecordsRefused, RetryLater, Stop, StreamerError
from streamer.events import JsonObject
from streamer.later import LaterLogger
from streamer.ports import LookupReader

_log = LaterLogger()

_BACKOFF = Backoff(first_s=1.0, limit_s=60.0)
# The remaining share of the day's requests does not change sooner, because the day is a rolling
# period.
_RESERVE_S = 300.0
_STOP_S = 60.0


@dataclass(slots=True, kw_only=True)
class Allowance:
    """Decides whether a call to Salesforce or a service can be made now.

    After a failure, no call is made for a second. Each further failure lengthens this
    pause, up to a minute or the time that the answer asks for. While less than the
    share `reserve` of the org's daily requests is left, only one call is made every
    five minutes, to learn how many requests are left.
    """

    clock: Clock
    reserve: float
    _until: float = field(default=0.0, init=False)
    _reason: StreamerError | None = field(default=None, init=False)
    _delays: Delays = field(default_factory=lambda: Delays(_BACKOFF), init=False)

    def __post_init__(self) -> None:
        self._until = self.clock.monotonic()

    @property
    def waits(self) -> bool:
        """True from a failure until a call succeeds."""
        return self._reason is not None

    @property
    def hindrance(self) -> StreamerError | None:
        """Reason why no call can be made now, with the seconds to wait; `None` while calls are allowed."""
        left_s = self._until - self.clock.monotonic()
        if self._reason is None or left_s <= 0:
            return None
        if isinstance(self._reason, Stop):
            return self._reason
        return RetryLater(str(self._reason), after_s=left_s)

    def failed(self, error: RetryLater | Stop) -> None:
        """Begin a pause because of `error`."""
        pause_s = self._delays.next_s()
        if isinstance(error, Stop):
            pause_s = _STOP_S
        elif error.after_s is not None:
            pause_s = max(pause_s, error.after_s)
        self._pause(error, pause_s)

    def answered(self, requests_left: float | None) -> None:
        """Note an answer; `requests_left` is the share of the day's requests that is left, if known."""
        self._delays.reset()
        if requests_left is not None and requests_left < self.reserve:
            what = (
                f"look-ups wait, because only {requests_left:.0%} of the org's daily requests are left, and "
                f"lookups.reserve keeps {self.reserve:.0%} for other uses"
            )
            self._pause(RetryLater(what), _RESERVE_S)
        elif self._reason is not None:
            self._reason = None
            _log.info("lookups.resumed")

    def _pause(self, reason: StreamerError, seconds: float) -> None:
        self._until = self.clock.monotonic() + seconds
        self._reason = reason
        _log.warning("lookups.waiting", reason=str(reason), tried_again_in_s=round(seconds, 1))


class SentLookup(NamedTuple):
    """Time at which a batch was sent, in monotonic seconds, and the fields that it reads, in lower case."""

    at: float
    fields: AbstractSet[str]


@dataclass(slots=True, kw_only=True, eq=False)
class LookupBatch:
    """Records of `sobject` that are read together.

    The batch collects `ids` until it is `sent`. `outdated` has the ids of records that
    have changed since the batch was sent. When the batch is `done`, `answer` has the
    records by id, without missing records. If the call failed, `answer` is the error
    for all records.
    """

    sobject: str
    most: int
    ids: dict[str, None] = field(default_factory=dict)
    outdated: set[str] = field(default_factory=set)
    sent: SentLookup | None = None
    # If the call is cancelled, this error stays as the answer.
    answer: Mapping[str, Found] | StreamerError = field(
        default_factory=lambda: RetryLater("the look-up was cancelled")
    )
    _full: asyncio.Event = field(default_factory=asyncio.Event)
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_open(self) -> bool:
        """True while ids can be added."""
        return self.sent is None and len(self.ids) < self.most

    def add(self, record_id: str) -> None:
        """Add a record to the batch."""
        self.ids[record_id] = None
        if len(self.ids) >= self.most:
            self._full.set()

    def serves(self, record_id: str, fields: AbstractSet[str]) -> bool:
        """Return true if the batch will return the current values of `fields` of the record."""
        if self.sent is None:
            return True
        return fields <= self.sent.fields and record_id not in self.outdated

    async def collected(self, clock: Clock, seconds: float) -> None:
        """Wait until the batch is full, but not longer than `seconds`."""
        try:
            async with clock.timeout(seconds):
                await self._full.wait()
        except TimeoutError:
            return

    def finish(self) -> None:
        """Release the callers that wait for the result."""
        self._done.set()

    async def done(self) -> None:
        """Wait for the result."""
        await self._done.wait()


_WANTED_S = 600.0
_REFUSED_S = 60.0
# Key for the refusal of a whole object, in which no field is named.
_OBJECT = ""


class _Wanted(NamedTuple):
    name: str
    at: float


class _Refused(NamedTuple):
    error: RecordsRefused
    until: float


@dataclass(slots=True, kw_only=True)
class ObjectFields:
    """Fields of the object `sobject` that any subscriber wants, each in one spelling.

    A field that no look-up has asked for in ten minutes is no longer read. A refusal is
    remembered for a minute. So a correction in the org takes effect after a minute, and
    until then, a mistake costs few requests.
    """

    sobject: str
    clock: Clock
    _wanted: dict[str, _Wanted] = field(default_factory=dict, init=False)
    _refused: dict[str, _Refused] = field(default_factory=dict, init=False)

    def want(self, fields: FieldNames) -> None:
        """Add `fields` to the fields to read."""
        now = self.clock.monotonic()
        for name, key in fields.pairs:
            known = self._wanted.get(key)
            self._wanted[key] = _Wanted(name if known is None else known.name, now)

    def refuse(self, error: RecordsRefused) -> None:
        """Stop reading the field that `error` names, or the whole object if `error` names no field."""
        self._refused[error.field.lower()] = _Refused(error, self.clock.monotonic() + _REFUSED_S)

    def refusal(self, fields: Iterable[str]) -> RecordsRefused | None:
        """Return the refusal of the object or of one of `fields`, or `None`."""
        now = self.clock.monotonic()
        for key in (_OBJECT, *(each.lower() for each in fields)):
            refused = self._refused.get(key)
            if refused is not None and now < refused.until:
                return refused.error
        return None

    def names(self) -> list[str]:
        """Return the names of the fields to read."""
        now = self.clock.monotonic()
        self._wanted = {key: each for key, each in self._wanted.items() if now - each.at <= _WANTED_S}
        return sorted(each.name for each in self._wanted.values() if self.refusal((each.name,)) is None)


_OF_A_FIELD = "INVALID_FIELD"


class LookupObserver(Protocol):
    """Observer of look-ups, for metrics; its methods must not block or raise."""

    def looked_up(self, result: str) -> None:
        """A look-up has ended; `result` is `cached`, `read`, `refused` or `failed`."""
        ...

    def asked(self, records: int, seconds: float, result: str) -> None:
        """A call for `records` records took `seconds`; `result` is `answered`, `refused` or `failed`."""
        ...

    def held(self, *, entries: int, size: int, waits: bool) -> None:
        """The cache now has `entries` entries and `size` bytes; `waits` says whether look-ups wait."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldwiseReader:
    """Reads records without the fields that Salesforce refuses, so that the other fields can be read."""

    reader: LookupReader
    clock: Clock
    observer: LookupObserver

    async def read(self, of: ObjectFields, ids: Sequence[str], names: Sequence[str]) -> dict[str, Found]:
        """Return fields of records, by record id and by field name in lower case, or a record's refusal.

        Reports refused fields to `of`. Raises the errors of `LookupReader.read`; raises
        `RecordsRefused` only for the whole object.
        """
        if not names:
            return {}
        try:
            records = await self._call(of.sobject, ids, names)
        except RecordsRefused as error:
            return await self._without_refused(error, of, ids, names)
        return {each: _by_key(record) for each, record in records.items()}

    async def _without_refused(
        self, error: RecordsRefused, of: ObjectFields, ids: Sequence[str], names: Sequence[str]
    ) -> dict[str, Found]:
        rest = [each for each in names if each.lower() != error.field.lower()]
        if len(rest) < len(names):
            of.refuse(error)
            return await self.read(of, ids, rest)
        if error.code != _OF_A_FIELD:
            raise error
        if len(names) == 1:
            of.refuse(RecordsRefused(str(error), code=error.code, field=names[0]))
            return {}
        # Salesforce does not say which field it refuses, so each half of the fields is tried.
        half = len(names) // 2
        first = await self.read(of, ids, names[:half])
        second = await self.read(of, ids, names[half:])
        return {
            each: _joined(first.get(each, {}), second.get(each, {})) for each in first.keys() | second.keys()
        }

    async def _call(
        self, sobject: str, ids: Sequence[str], names: Sequence[str]
    ) -> dict[str, JsonObject | RecordsRefused]:
        began, result = self.clock.monotonic(), "failed"
        try:
            records = dict(await self.reader.read(sobject, ids, names))
            all_refused = records and all(isinstance(each, RecordsRefused) for each in records.values())
            result = "refused" if all_refused else "answered"
        except RecordsRefused:
            result = "refused"
            raise
        finally:
            self.observer.asked(len(ids), self.clock.monotonic() - began, result)
        return records


def _by_key(record: JsonObject | RecordsRefused) -> Found:
    if isinstance(record, RecordsRefused):
        return record
    return {name.lower(): value for name, value in record.items()}


def _joined(first: Found, second: Found) -> Found:
    if isinstance(first, RecordsRefused):
        return first
    return second if isinstance(second, RecordsRefused) else {**first, **second}
