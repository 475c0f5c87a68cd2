"""Keeper of record states: reads changes from the log, and settles them together with the whole records."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import structlog

from streamer.clock import Clock
from streamer.errors import Fenced, LogUnavailable
from streamer.events import Entry, Event, Partition, RecordState, SettledOffsets, Start, SubscriberName
from streamer.observe.state_metrics import StateMetrics
from streamer.ports import Assigned, ControlledLog, Feed, Page, Revoked, Settlement, Subscription
from streamer.state.dirty import RecordKey
from streamer.state.merging import Unapplied, applied, is_late, is_row
from streamer.state.orders import KeptOrders
from streamer.state.readings import StateReadings

SUBSCRIBER = SubscriberName("-state")
"""Name of the consumer group's subscriber; no configured subscriber can begin with a hyphen."""

_PAUSE_S = 1.0

_log = structlog.get_logger()

_Result = TypeVar("_Result")


class StateLog(ControlledLog, KeptOrders, Protocol):
    """Log that keeps states and orders."""


@dataclass(slots=True, kw_only=True)
class _OwnPartition:
    """Partition that this process owns, settled below an offset."""

    assignment: int
    settled: int


@dataclass(slots=True, kw_only=True)
class StateKeeper:
    """Makes the state of each record of some objects from the change events in the log.

    A page of events is settled in one transaction with the states that follow from it.
    `following` is true while the log is read. `busy_since` is the monotonic time since which
    the keeper works on the same page; it is `None` while the keeper waits.
    """

    log: StateLog
    clock: Clock
    readings: StateReadings
    metrics: StateMetrics
    following: bool = field(default=False, init=False)
    busy_since: float | None = field(default=None, init=False)
    _partitions: dict[Partition, _OwnPartition] = field(default_factory=dict, init=False)
    _entities: dict[str, str] = field(default_factory=dict, init=False)

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects whose records have states."""
        return tuple(self.readings.orders.channels)

    @property
    def settled(self) -> Mapping[Partition, int]:
        """Offset below which each partition of this process is settled."""
        return {partition: own.settled for partition, own in self._partitions.items()}

    @property
    def subscription(self) -> Subscription:
        """Selection of the change events of the objects."""
        return Subscription(
            subscriber=SUBSCRIBER,
            patterns=tuple(f"salesforce.cdc.{entity}.*" for entity in self.objects),
            start=Start.LATEST,
            receipts=True,
            states=self.objects,
        )

    async def run(self) -> None:
        """Keep the states until cancelled; while the log is unavailable, log a warning and retry."""
        while True:
            try:
                await self._keep()
            except (LogUnavailable, Fenced) as error:
                # The next feed continues after the states that are in the log.
                _log.warning("state.reopened", reason=str(error))
            await self.clock.sleep(_PAUSE_S)

    async def _keep(self) -> None:
        # The position of the group is fixed before the snapshot is ordered, so that no row comes
        # before the position.
        async with self.log.follow(self.subscription) as feed:
            self._partitions.clear()
            self.readings.dirty.reopen()
            await self.readings.begin(await self.log.states.origins(self.objects))
            self.following = True
            try:
                await _first_of(self._read(feed), self._retried(self.readings.follow))
            finally:
                self.following, self.busy_since = False, None

    async def _read(self, feed: Feed) -> None:
        while True:
            ended = self.readings.dirty.ended_holes
            match await self._retried(feed.read):
                case Page() as page:
                    self.busy_since = self.clock.monotonic()
                    await self._settle(feed, page)
                    if not page.behind:
                        self.readings.dirty.caught_up(ended)
                    self.busy_since = None
                case Assigned() as assigned:
                    self._partitions |= {
                        each: _OwnPartition(assignment=assigned.assignment, settled=at.next_offset)
                        for each, at in assigned.progress.items()
                    }
                    self.readings.dirty.assign(assigned.progress)
                    await self._retried(self.readings.recall)
                case Revoked(partitions=partitions):
                    for partition in partitions:
                        self._partitions.pop(partition, None)
                    self.readings.dirty.revoke(partitions)

    async def _settle(self, feed: Feed, page: Page) -> None:
        """Settle `page` with its states. Raises `Fenced`."""
        if page.expired:
            for entity in self._expired(page.expired):
                await self._retried(partial(self.readings.orders.lost, entity))
        await self._retried(self.readings.look_for_holes)
        states = await self._retried(partial(self._applied, page.entries))
        for assignment, partitions in self._by_assignment(page).items():
            settlement = Settlement(
                assignment=assignment,
                progress={each: SettledOffsets(next_offset=page.through[each]) for each in partitions},
                states=[each for each in states if each.last.partition in partitions],
            )
            recorded = await self._retried(partial(feed.settle, settlement))
            for partition in recorded.partitions:
                self._partitions[partition].settled = page.through[partition]
        self.metrics.settled(states, behind=page.behind, awaited=len(self.readings.dirty))

    async def _retried(self, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return the result of `work`; while the log is unavailable, log a warning and retry."""
        while True:
            try:
                return await work()
            except LogUnavailable as error:
                _log.warning("log.unavailable", subscriber=SUBSCRIBER, reason=str(error))
                await self.clock.sleep(_PAUSE_S)
                # The log's answer shows that the keeper makes progress.
                if self.busy_since is not None:
                    self.busy_since = self.clock.monotonic()

    def _by_assignment(self, page: Page) -> dict[int, set[Partition]]:
        found: dict[int, set[Partition]] = defaultdict(set)
        for partition in page.through:
            if partition in self._partitions:
                found[self._partitions[partition].assignment].add(partition)
        return found

    async def _applied(self, entries: Sequence[Entry]) -> list[RecordState]:
        """Return the new states after `entries`, in order, once all necessary readings are ordered."""
        known = await self._known(entries)
        states: list[RecordState] = []
        unclear: dict[RecordKey, Event] = {}
        for entry in entries:
            key = _key(entry)
            self._entities[entry.partition.topic] = key[0]
            if entry.event.is_gap or is_late(entry.event):
                await self.readings.gap(entry.event)
            former = known.get(key)
            result = self._result(entry, key, former)
            if isinstance(result, RecordState):
                known[key] = result
                states.append(result)
            if isinstance(result, RecordState) or is_row(entry.event):
                # A row contains all changes that come before it in the log, even if it changes nothing.
                self.readings.dirty.clean(key)
            elif result is Unapplied.UNCLEAR and self._must_be_read(key, former):
                unclear[key] = entry.event
        await self.readings.orders.records(unclear)
        for entry in entries:
            self.readings.dirty.locate(_key(entry), entry.partition)
        return states

    def _result(self, entry: Entry, key: RecordKey, state: RecordState | None) -> RecordState | Unapplied:
        # The row of a dirty record will have this update and the change before it.
        if _is_update(entry) and self.readings.dirty.includes(key, state):
            return Unapplied.UNCLEAR
        return _applied(entry, state)

    def _must_be_read(self, key: RecordKey, state: RecordState | None) -> bool:
        # The first snapshot supplies a record that is unknown before it.
        is_expected = state is None and key[0] in self.readings.loading
        return not is_expected and self.readings.dirty.must_be_asked_for(key, state)

    async def _known(self, entries: Sequence[Entry]) -> dict[RecordKey, RecordState]:
        wanted: dict[str, set[str]] = defaultdict(set)
        for entry in entries:
            entity, record_id = _key(entry)
            wanted[entity].add(record_id)
        known: dict[RecordKey, RecordState] = {}
        for entity, record_ids in wanted.items():
            found = await self.log.states.of(entity, record_ids)
            known.update(((entity, record_id), state) for record_id, state in found.items())
        return known

    def _expired(self, partitions: Collection[Partition]) -> Collection[str]:
        """Return the objects whose events were lost; all objects if this is not known."""
        topics = {partition.topic for partition in partitions}
        return (
            {self._entities[topic] for topic in topics} if topics <= self._entities.keys() else self.objects
        )


async def _first_of(*works: Coroutine[object, object, None]) -> None:
    """Run all `works` until one of them ends; raises its error."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _applied(entry: Entry, state: RecordState | None) -> RecordState | Unapplied:
    try:
        return applied(entry, state)
    except (LookupError, TypeError, ValueError, AttributeError):
        _log.exception("state.not_applied", event=entry.event.id)
        return Unapplied.UNCLEAR


def _key(entry: Entry) -> RecordKey:
    return entry.event.data["entity"], entry.event.data["record_id"]


def _is_update(entry: Entry) -> bool:
    """Return true for an event that is applied to a state, and does not replace it."""
    data = entry.event.data
    return entry.event.type.endswith(".updated") and "recovered" not in data
