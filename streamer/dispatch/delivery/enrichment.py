"""Enrichment of one subscriber's events with records of the org and of services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from streamer.dispatch.delivery.route import event_document
from streamer.dispatch.forwarding import receipts_of
from streamer.dispatch.lookups.cache import FieldNames
from streamer.errors import BrokenRoute, RetryLater
from streamer.events import Event, JsonObject, record_id_of
from streamer.expressions.projection import ABSENT, Project

if TYPE_CHECKING:
    from streamer.clock import Clock
    from streamer.dispatch.lookups.records import RecordLookups
    from streamer.ports import ServiceSource

LOOKUPS = "lookups"
"""Name under which expressions see the state of each look-up."""

Ahead = Callable[[], Iterable[Event]]
"""Function that returns the events that come next."""

_LONGEST_SHOWN = 40
_LONGEST_ID = 200


class LookupState(StrEnum):
    """State of a look-up, which expressions can read."""

    FOUND = "found"
    """The record exists."""
    MISSING = "missing"
    """The Salesforce user can see no such record: it was deleted, or never existed."""
    EMPTY = "empty"
    """The event says that there is no record: the reference is null."""
    ABSENT = "absent"
    """The event does not contain the id of the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Look-up of one record; expressions see its `fields` under `name`.

    Without `record_id`, the look-up reads the event's own record. With a `service`, the
    look-up reads a record of the service; otherwise, it reads a record of the org's
    object `sobject`. `needs` has the names of the look-ups whose results `record_id`
    reads. If the look-up is `of_states`, it reads the states that the log keeps of
    `sobject`.
    """

    name: str
    fields: FieldNames
    sobject: str | None = None
    of_states: bool = False
    record_id: Project | None = None
    needs: frozenset[str] = frozenset()
    service: ServiceSource | None = None

    def place(self, event: Event, document: JsonObject) -> tuple[str, Any]:
        """Return the object and the id of the record to look up for `event`, whose document is `document`.

        The id is `None` if the event says that there is no record, and `ABSENT` if the
        event does not contain the id of the record. A service has one object, whose
        name is empty. Raises `BrokenRoute`.
        """
        if self.record_id is None:
            sobject, own = event.data.get("entity"), record_id_of(event.data.get("record_id"))
            return (sobject, own) if isinstance(sobject, str) and own is not None else ("", ABSENT)
        try:
            value = self.record_id(document)
        except Exception as error:
            # Expressions are an operator's code and can raise any error.
            what = f"enrich.{self.name}.id fails on this event: {type(error).__name__}: {error}"
            raise BrokenRoute(what) from error
        if value is ABSENT:
            return self.sobject or "", ABSENT
        if value is None or value == "":
            return self.sobject or "", None
        record_id = record_id_of(value) if self.service is None else service_id_of(value)
        if record_id is None:
            shown = str(value)[:_LONGEST_SHOWN]
            raise BrokenRoute(f"enrich.{self.name}.id results in {shown}, which is not a record id")
        return self.sobject or "", record_id


def service_id_of(value: Any) -> str | None:
    """Return `value` as the id of a service's record; `None` unless it is a line of text or an integer."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    # In an address, the ids . and .. would change the path.
    is_id = isinstance(value, str) and value.isprintable() and value not in {".", ".."}
    return value if is_id and 0 < len(value) <= _LONGEST_ID else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrichmentSource:
    """Look-ups of one subscriber."""

    lookups: tuple[Lookup, ...]


Opened = Callable[[EnrichmentSource], AbstractAsyncContextManager[Mapping[str, "RecordLookups"]]]
"""Function that opens the readers of the look-ups, by look-up name."""


@dataclass(slots=True, kw_only=True)
class Enrichment:
    """Looks up the records that a subscriber's expressions see in addition to the event.

    Expressions see the fields of a record as an object under the name of its look-up.
    The object is null in the states `MISSING` and `EMPTY`, and absent in the state
    `ABSENT`. Under `lookups`, expressions see the state of each look-up by name.
    """

    source: EnrichmentSource
    open: Opened
    clock: Clock
    timeout_s: float = 30.0
    _records: Mapping[str, RecordLookups] = field(default_factory=dict, init=False)
    _stages: Sequence[Sequence[Lookup]] = field(init=False)

    def __post_init__(self) -> None:
        self._stages = _staged(self.source.lookups)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Allow look-ups inside the context; raises `ConfigurationError` for an unsafe address."""
        async with self.open(self.source) as self._records:
            yield

    async def names(self, event: Event, ahead: Ahead) -> JsonObject:
        """Return the records for `event`, by look-up name.

        A call that reads a record for `event` also reads records for the events that
        `ahead` returns. Raises `BrokenRoute` when the id of a record is invalid. Also
        raises the errors of `RecordLookups.find`.
        """
        for records in {id(each): each for each in self._records.values()}.values():
            # If another process has read and parked the event, this process sees the event now
            # for the first time.
            records.changed(event)
        naming = _Naming(event, self._cached)
        unknown = naming.unknown(self._stages)
        if first := next(unknown, None):
            try:
                async with self.clock.timeout(self.timeout_s):
                    for wanted in chain((first,), unknown):
                        await self._read(wanted, naming, ahead)
            except TimeoutError:
                what = f"the look-ups got no answer within {self.timeout_s:g} s"
                raise RetryLater(what) from None
        return {**naming.found, LOOKUPS: naming.states}

    async def _read(self, wanted: Sequence[_Wanted], naming: _Naming, ahead: Ahead) -> None:
        """Look up the `wanted` records, and begin to read the records of the next events."""
        begun = [self._of(each.lookup) for each in wanted if self._is_begun(each)]
        for coming in islice(ahead(), max(each.batch for each in begun)) if begun else ():
            self._expect(coming)
        for lookup, sobject, record_id in wanted:
            naming.add(lookup, await self._of(lookup).find(sobject, record_id, lookup.fields))

    def _expect(self, event: Event) -> None:
        """Begin to read the records that `event` needs, as far as the ids of these records are known now."""
        # A mistake is ignored here, because the event's own attempt reports it.
        with suppress(BrokenRoute):
            for each in next(_Naming(event, self._known).unknown(self._stages), ()):
                self._is_begun(each)

    def _is_begun(self, wanted: _Wanted) -> bool:
        """Begin to read a record; return true if no read of this record had begun before."""
        return self._of(wanted.lookup).expect(wanted.sobject, wanted.record_id, wanted.lookup.fields)

    def _cached(self, wanted: _Wanted) -> tuple[JsonObject | None] | None:
        return self._of(wanted.lookup).cached(wanted.sobject, wanted.record_id, wanted.lookup.fields)

    def _known(self, wanted: _Wanted) -> tuple[JsonObject | None] | None:
        return self._of(wanted.lookup).known(wanted.sobject, wanted.record_id, wanted.lookup.fields)

    def _of(self, lookup: Lookup) -> RecordLookups:
        return self._records[lookup.name]


def _staged(lookups: Sequence[Lookup]) -> Sequence[Sequence[Lookup]]:
    """Group the look-ups into stages; a look-up needs only look-ups of earlier stages."""
    stages: list[list[Lookup]] = []
    done: set[str] = set()
    waiting = list(lookups)
    while waiting:
        stages.append([each for each in waiting if each.needs <= done])
        done.update(each.name for each in stages[-1])
        waiting = [each for each in waiting if each.name not in done]
    return stages


class _Wanted(NamedTuple):
    """Record that a look-up reads."""

    lookup: Lookup
    sobject: str
    record_id: str


class _Naming:
    """Records for one event by name, in the form that expressions see: `found` and `states`.

    `known` returns a record in a tuple, or `None` if a call must read the record.
    """

    def __init__(self, event: Event, known: Callable[[_Wanted], tuple[JsonObject | None] | None]) -> None:
        self._event = event
        self._known = known
        self._document = event_document(event, receipts_of(event))
        self.found: JsonObject = {}
        self.states: dict[str, str] = {}

    def unknown(self, stages: Iterable[Sequence[Lookup]]) -> Iterator[Sequence[_Wanted]]:
        """Add the known records of each stage, and yield the unknown records of the stage.

        The caller must add the unknown records before the next stage. Raises
        `BrokenRoute`.
        """
        for stage in stages:
            places = [(lookup, *lookup.place(self._event, self._document)) for lookup in stage]
            if wanted := [_Wanted(*each) for each in places if not self._is_known(*each)]:
                yield wanted

    def add(self, lookup: Lookup, record: JsonObject | None) -> None:
        """Add the record that `lookup` has found; `None` means that the record is missing."""
        self.found[lookup.name] = self._document[lookup.name] = record
        self.states[lookup.name] = LookupState.MISSING if record is None else LookupState.FOUND

    def _is_known(self, lookup: Lookup, sobject: str, record_id: Any) -> bool:
        if record_id is ABSENT:
            self.states[lookup.name] = LookupState.ABSENT
            return True
        known = (None,) if record_id is None else self._known(_Wanted(lookup, sobject, record_id))
        # A record that must be read already gets its position among the names.
        self.add(lookup, None if known is None else known[0])
        if record_id is None:
            self.states[lookup.name] = LookupState.EMPTY
        return known is not None
