"""Enrichment of one subscriber's events by records of the org and of services."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, islice
from typing import Any, NamedTuple

from streamer.clock import Clock
from streamer.dispatch.chains.forwarding import receipts_of
from streamer.dispatch.delivery.route import event_document
from streamer.dispatch.lookups.reading import FieldNames
from streamer.dispatch.lookups.records import RecordLookups
from streamer.errors import BrokenRoute, RetryLater
from streamer.events import Event, JsonObject, record_id_of
from streamer.expressions.projection import ABSENT, Project
from streamer.ports import ServiceSource

LOOKUPS = "lookups"
"""Name under which expressions see what became of each look-up."""

Ahead = Callable[[], Iterable[Event]]
"""Returns the events that come next."""

_LONGEST_SHOWN = 40
_LONGEST_ID = 200


class LookupState(StrEnum):
    """State of a look-up, as expressions see it."""

    FOUND = "found"
    """There is such a record."""
    MISSING = "missing"
    """There is none that the org's user can see: it was deleted, or never was."""
    EMPTY = "empty"
    """The event says that there is no record: the reference is null."""
    ABSENT = "absent"
    """The event does not say which record it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Look-up of one record, whose `fields` expressions see under `name`.

    Without `record_id` it is the event's own record. With a `service` it is a
    record of that, and otherwise one of the org, of the object `sobject`.
    `needs` are the names of the look-ups that `record_id` reads.
    """

    name: str
    fields: FieldNames
    sobject: str | None = None
    record_id: Project | None = None
    needs: frozenset[str] = frozenset()
    service: ServiceSource | None = None

    def place(self, event: Event, document: JsonObject) -> tuple[str, Any]:
        """Return the object and the id of the record that `event`, as `document`, names.

        The id is null where there is no record, and `ABSENT` where it is not
        known. A service has one object, without a name. Raises `BrokenRoute`.
        """
        if self.record_id is None:
            sobject, own = event.data.get("entity"), record_id_of(event.data.get("record_id"))
            return (sobject, own) if isinstance(sobject, str) and own is not None else ("", ABSENT)
        try:
            value = self.record_id(document)
        except Exception as error:
            # Expressions are an operator's code and can raise anything.
            what = f"enrich.{self.name}.id fails on this event: {type(error).__name__}: {error}"
            raise BrokenRoute(what) from error
        if value is ABSENT:
            return self.sobject or "", ABSENT
        if value is None or value == "":
            return self.sobject or "", None
        record_id = record_id_of(value) if self.service is None else service_id_of(value)
        if record_id is None:
            shown = str(value)[:_LONGEST_SHOWN]
            raise BrokenRoute(f"enrich.{self.name}.id gives {shown}, which is not an id of a record")
        return self.sobject or "", record_id


def service_id_of(value: Any) -> str | None:
    """Return `value` as the id of a service's record: a text on one line or a whole number, or `None`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    # The names . and .. would lead an address elsewhere.
    is_id = isinstance(value, str) and value.isprintable() and value not in {".", ".."}
    return value if is_id and 0 < len(value) <= _LONGEST_ID else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrichmentSource:
    """Look-ups of one subscriber."""

    lookups: tuple[Lookup, ...]


Opened = Callable[[EnrichmentSource], AbstractAsyncContextManager[Mapping[str, RecordLookups]]]
"""Opens what makes the look-ups, by their names."""


@dataclass(slots=True, kw_only=True)
class Enrichment:
    """Looks up the records that a subscriber's expressions see beside the event.

    Each is under its own name: an object with its fields, null for `MISSING`
    and `EMPTY`, and absent for `ABSENT`. `lookups` tells which, by name.
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
        """Look records up inside the context; raises `ConfigurationError` for an unsafe address."""
        async with self.open(self.source) as self._records:
            yield

    async def names(self, event: Event, ahead: Ahead) -> JsonObject:
        """Return the records for `event`, by name.

        A call that reads one of them also reads those of the events that `ahead`
        returns. Raises `BrokenRoute` when the id of a record is invalid, and what
        `RecordLookups.find` raises.
        """
        for records in {id(each): each for each in self._records.values()}.values():
            # A parked event can have been read by another process.
            records.changed(event)
        naming = _Naming(event, self._cached)
        unknown = naming.unknown(self._stages)
        if first := next(unknown, None):
            try:
                async with self.clock.timeout(self.timeout_s):
                    for wanted in chain((first,), unknown):
                        await self._read(wanted, naming, ahead)
            except TimeoutError:
                what = f"the look-ups were not answered within {self.timeout_s:g} s"
                raise RetryLater(what) from None
        return {**naming.found, LOOKUPS: naming.states}

    async def _read(self, wanted: Sequence["_Wanted"], naming: "_Naming", ahead: Ahead) -> None:
        """Look up what is `wanted`, and begin to read what the events that come next need."""
        begun = [self._of(each.lookup) for each in wanted if self._is_begun(each)]
        for coming in islice(ahead(), max(each.batch for each in begun)) if begun else ():
            self._expect(coming)
        for lookup, sobject, record_id in wanted:
            naming.add(lookup, await self._of(lookup).find(sobject, record_id, lookup.fields))

    def _expect(self, event: Event) -> None:
        """Begin to read what `event` needs, as far as it is known now."""
        # A mistake shows in its own attempt.
        with suppress(BrokenRoute):
            for each in next(_Naming(event, self._known).unknown(self._stages), ()):
                self._is_begun(each)

    def _is_begun(self, wanted: "_Wanted") -> bool:
        """Begin to read a record; return true if it was not being read before."""
        return self._of(wanted.lookup).expect(wanted.sobject, wanted.record_id, wanted.lookup.fields)

    def _cached(self, wanted: "_Wanted") -> tuple[JsonObject | None] | None:
        return self._of(wanted.lookup).cached(wanted.sobject, wanted.record_id, wanted.lookup.fields)

    def _known(self, wanted: "_Wanted") -> tuple[JsonObject | None] | None:
        return self._of(wanted.lookup).known(wanted.sobject, wanted.record_id, wanted.lookup.fields)

    def _of(self, lookup: Lookup) -> RecordLookups:
        return self._records[lookup.name]


def _staged(lookups: Sequence[Lookup]) -> Sequence[Sequence[Lookup]]:
    """Return the look-ups in parts; each needs only those before it."""
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
    """Records for one event, by name: `found` and `states` are as expressions see them.

    `known` returns a record in a tuple, or `None` where a call must read it.
    """

    def __init__(self, event: Event, known: Callable[[_Wanted], tuple[JsonObject | None] | None]) -> None:
        self._event = event
        self._known = known
        self._document = event_document(event, receipts_of(event))
        self.found: JsonObject = {}
        self.states: dict[str, str] = {}

    def unknown(self, stages: Iterable[Sequence[Lookup]]) -> Iterator[Sequence[_Wanted]]:
        """Add what is known; yield the rest of a stage, which must be added before the next one.

        Raises `BrokenRoute`.
        """
        for stage in stages:
            places = [(lookup, *lookup.place(self._event, self._document)) for lookup in stage]
            if wanted := [_Wanted(*each) for each in places if not self._is_known(*each)]:
                yield wanted

    def add(self, lookup: Lookup, record: JsonObject | None) -> None:
        """Add the record that `lookup` has found, `None` if it is missing."""
        self.found[lookup.name] = self._document[lookup.name] = record
        self.states[lookup.name] = LookupState.MISSING if record is None else LookupState.FOUND

    def _is_known(self, lookup: Lookup, sobject: str, record_id: Any) -> bool:
        if record_id is ABSENT:
            self.states[lookup.name] = LookupState.ABSENT
            return True
        known = (None,) if record_id is None else self._known(_Wanted(lookup, sobject, record_id))
        # One that is read keeps its place among the names.
        self.add(lookup, None if known is None else known[0])
        if record_id is None:
            self.states[lookup.name] = LookupState.EMPTY
        return known is not None
