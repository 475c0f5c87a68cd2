"""Enrichment of one subscriber's events by records of the org."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Any

from streamer.clock import Clock
from streamer.dispatch.attempt.forwarding import receipts_of
from streamer.dispatch.attempt.projection import ABSENT, Project
from streamer.dispatch.attempt.route import event_document
from streamer.dispatch.lookups.record_ids import record_id_of
from streamer.dispatch.lookups.records import RecordLookups
from streamer.errors import BrokenRoute, RetryLater
from streamer.events import Event, JsonObject

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
    fields: tuple[str, ...]
    sobject: str | None = None
    record_id: Project | None = None
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrichmentSource:
    """Look-ups of one subscriber; `when` reads a record of theirs if they are `for_when`."""

    lookups: tuple[Lookup, ...]
    for_when: bool = False


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
        found: JsonObject = {}
        states: dict[str, str] = {}
        try:
            async with self.clock.timeout(self.timeout_s):
                for stage in self._stages:
                    wanted = [(lookup, *_record_of(lookup, event, found)) for lookup in stage]
                    begun = [each for each in wanted if _is_begun(records, *each)]
                    for coming in islice(ahead(), records.batch) if begun else ():
                        self._expect(records, coming)
                    for lookup, sobject, record_id in wanted:
                        states[lookup.name] = await self._find(records, lookup, sobject, record_id, found)
        except TimeoutError:
            raise RetryLater(f"Salesforce did not answer the look-ups within {self.timeout_s:g} s") from None
        return {**found, LOOKUPS: states}

    def _expect(self, records: RecordLookups, event: Event) -> None:
        """Begin to read what `event` needs, as far as it is known now."""
        found: JsonObject = {}
        # What is wrong shows in its own attempt.
        with suppress(BrokenRoute):
            for stage in self._stages:
                if not _is_known(records, stage, event, found):
                    return

    async def _find(
        self, records: RecordLookups, lookup: Lookup, sobject: str, record_id: Any, found: JsonObject
    ) -> LookupState:
        if record_id is ABSENT:
            return LookupState.ABSENT
        if record_id is None:
            found[lookup.name] = None
            return LookupState.EMPTY
        found[lookup.name] = record = await records.find(sobject, record_id, lookup.fields)
        return LookupState.MISSING if record is None else LookupState.FOUND

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


def _is_known(records: RecordLookups, stage: Sequence[Lookup], event: Event, found: dict[str, Any]) -> bool:
    """Add what is known of a stage to `found`, begin to read the rest, and return true without any."""
    is_whole = True
    for lookup in stage:
        sobject, record_id = _record_of(lookup, event, found)
        if record_id is ABSENT:
            continue
        known = (None,) if record_id is None else records.known(sobject, record_id, lookup.fields)
        if known is None:
            records.expect(sobject, record_id, lookup.fields)
            is_whole = False
        else:
            (found[lookup.name],) = known
    return is_whole


def _is_begun(records: RecordLookups, lookup: Lookup, sobject: str, record_id: Any) -> bool:
    return (
        record_id is not None
        and record_id is not ABSENT
        and records.expect(sobject, record_id, lookup.fields)
    )


def _record_of(lookup: Lookup, event: Event, found: Mapping[str, Any]) -> tuple[str, Any]:
    if lookup.record_id is None or lookup.sobject is None:
        sobject, own = event.data.get("entity"), record_id_of(event.data.get("record_id"))
        return (sobject, own) if isinstance(sobject, str) and own is not None else ("", ABSENT)
    try:
        value = lookup.record_id(event_document(event, {**receipts_of(event), **found}))
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
