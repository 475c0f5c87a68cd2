"""Enrichment of one subscriber's events by records of the org."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, islice
from typing import Any, NamedTuple

from streamer.clock import Clock
from streamer.dispatch.attempt.forwarding import receipts_of
from streamer.dispatch.attempt.projection import ABSENT, Project
from streamer.dispatch.attempt.route import event_document
from streamer.dispatch.lookups.fields import FieldNames
from streamer.dispatch.lookups.records import RecordLookups
from streamer.errors import BrokenRoute, RetryLater
from streamer.events import Event, JsonObject, record_id_of

LOOKUPS = "lookups"
"""Name under which expressions see what became of each look-up."""

Ahead = Callable[[], Iterable[Event]]
"""Returns the events that come next."""

_LONGEST_SHOWN = 40


class LookupState(StrEnum):
    """What became of a look-up, as expressions see it."""

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

    Without `sobject` and `record_id` it is the event's own record. `needs` are
    the names of the look-ups that `record_id` reads.
    """

    name: str
    fields: FieldNames
    sobject: str | None = None
    record_id: Project | None = None
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrichmentSource:
    """Look-ups of one subscriber."""

    lookups: tuple[Lookup, ...]


@dataclass(slots=True, kw_only=True)
class Enrichment:
    """Looks up the records that a subscriber's expressions see beside the event.

    Each is under its own name: an object with its fields, null for `MISSING`
    and `EMPTY`, and absent for `ABSENT`. `lookups` tells which, by name.
    """

    source: EnrichmentSource
    open: Callable[[], AbstractAsyncContextManager[RecordLookups]]
    clock: Clock
    timeout_s: float = 30.0
    _records: RecordLookups | None = field(default=None, init=False)
    _stages: Sequence[Sequence[Lookup]] = field(init=False)

    def __post_init__(self) -> None:
        self._stages = _staged(self.source.lookups)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Look records up inside the context; raises `ConfigurationError` for an unsafe address."""
        async with self.open() as self._records:
            yield

    async def names(self, event: Event, ahead: Ahead) -> JsonObject:
        """Return the records for `event`, by name.

        A call that reads one of them also reads those of the events that `ahead`
        returns. Raises `BrokenRoute` when the id of a record
        is none, and what `RecordLookups.find` raises.
        """
        records = self._opened()
        # A parked event can have been read by another process.
        records.changed(event)
        naming = _Naming(event, records.cached)
        unknown = naming.unknown(self._stages)
        if first := next(unknown, None):
            try:
                async with self.clock.timeout(self.timeout_s):
                    for wanted in chain((first,), unknown):
                        await self._read(wanted, naming, ahead)
            except TimeoutError:
                what = f"Salesforce did not answer the look-ups within {self.timeout_s:g} s"
                raise RetryLater(what) from None
        return {**naming.found, LOOKUPS: naming.states}

    async def _read(self, wanted: Sequence["_Wanted"], naming: "_Naming", ahead: Ahead) -> None:
        """Look up what is `wanted`, and begin to read what the events that come next need."""
        records = self._opened()
        begun = [records.expect(each.sobject, each.record_id, each.lookup.fields) for each in wanted]
        for coming in islice(ahead(), records.batch) if any(begun) else ():
            self._expect(coming)
        for lookup, sobject, record_id in wanted:
            naming.add(lookup, await records.find(sobject, record_id, lookup.fields))

    def _expect(self, event: Event) -> None:
        """Begin to read what `event` needs, as far as it is known now."""
        records = self._opened()
        # What is wrong shows in its own attempt.
        with suppress(BrokenRoute):
            for each in next(_Naming(event, records.known).unknown(self._stages), ()):
                records.expect(each.sobject, each.record_id, each.lookup.fields)

    def _opened(self) -> RecordLookups:
        assert self._records is not None  # noqa: S101 - attempts are made while it is open
        return self._records


def _staged(lookups: Sequence[Lookup]) -> Sequence[Sequence[Lookup]]:
    """Return the look-ups in parts, each of which needs only those before it."""
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

    def __init__(
        self, event: Event, known: Callable[[str, str, FieldNames], tuple[JsonObject | None] | None]
    ) -> None:
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
            places = [(lookup, *self._record_of(lookup)) for lookup in stage]
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
        known = (None,) if record_id is None else self._known(sobject, record_id, lookup.fields)
        # One that is read keeps its place among the names.
        self.add(lookup, None if known is None else known[0])
        if record_id is None:
            self.states[lookup.name] = LookupState.EMPTY
        return known is not None

    def _record_of(self, lookup: Lookup) -> tuple[str, Any]:
        if lookup.record_id is None or lookup.sobject is None:
            data = self._event.data
            sobject, own = data.get("entity"), record_id_of(data.get("record_id"))
            return (sobject, own) if isinstance(sobject, str) and own is not None else ("", ABSENT)
        try:
            value = lookup.record_id(self._document)
        except Exception as error:
            # Expressions are an operator's code and can raise anything.
            what = f"enrich.{lookup.name}.id fails on this event: {type(error).__name__}: {error}"
            raise BrokenRoute(what) from error
        if value is ABSENT:
            return lookup.sobject, ABSENT
        if value is None or value == "":
            return lookup.sobject, None
        record_id = record_id_of(value)
        if record_id is None:
            shown = str(value)[:_LONGEST_SHOWN]
            raise BrokenRoute(f"enrich.{lookup.name}.id gives {shown}, which is no id of a record")
        return lookup.sobject, record_id
