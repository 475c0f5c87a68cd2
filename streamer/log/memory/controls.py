"""Controls, dead letters, processes, record states and parked lanes of the in-memory log."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import uuid4

from streamer.controls import (
    AuditRecord,
    ContinuityFilter,
    Control,
    ControlState,
    PositionOrder,
    Redrive,
    SnapshotOrder,
)
from streamer.events import (
    ContinuityRecord,
    DeadLetter,
    Entry,
    LetterHead,
    ParkedLane,
    Partition,
    RecordState,
    Setback,
    SettledOffsets,
    SubscriberName,
)
from streamer.log.continuity import last_states
from streamer.log.memory.feed import MemoryPartitions, partition_of
from streamer.log.records import (
    decode_process_record,
    decode_record_state,
    encode_last_change,
    encode_process_record,
    encode_record_state,
)
from streamer.ports import LaneChange, ProcessRecord, ProcessRecordKind

_Progress = Mapping[SubscriberName, Mapping[Partition, SettledOffsets]]


class MemoryLetterCursor:
    """Cursor over the dead letters, which remembers the dead letters that it has returned."""

    def __init__(self, letters: Mapping[str, DeadLetter], check_up: Callable[[], None]) -> None:
        """Read `letters`; `check_up` raises `LogUnavailable` while the log is down."""
        self._letters = letters
        self._check_up = check_up
        self._seen: dict[str, DeadLetter] = {}

    async def heads(self) -> AsyncGenerator[LetterHead, None]:
        """Yield the heads of the dead letters that were added since the last call."""
        self._check_up()
        for id_, letter in list(self._letters.items()):
            if self._seen.get(id_) is not letter:
                self._seen[id_] = letter
                yield letter.head

    async def kept(self, ids: Collection[str]) -> frozenset[str]:
        """Return the ids of the given dead letters that exist."""
        self._check_up()
        return frozenset(ids) & self._letters.keys()

    async def letters(self, ids: Collection[str]) -> AsyncGenerator[DeadLetter, None]:
        """Yield the given dead letters that exist."""
        self._check_up()
        for letter in [self._letters[id_] for id_ in ids if id_ in self._letters]:
            yield letter


class MemoryContinuityCursor:
    """Cursor over the continuity records."""

    def __init__(self, holes: Sequence[ContinuityRecord], check_up: Callable[[], None]) -> None:
        """Read `holes`; `check_up` raises `LogUnavailable` while the log is down."""
        self._holes = holes
        self._check_up = check_up
        self._read = 0

    async def changed(self) -> Sequence[ContinuityRecord]:
        """Return the last states of the records that have changed."""
        self._check_up()
        new = self._holes[self._read :]
        self._read += len(new)
        return last_states(new, lambda _: True)


class MemoryControls:
    """Controls, orders, audit records, dead letters and continuity records of one log in memory."""

    def __init__(self, check_up: Callable[[], None]) -> None:
        """Begin without controls; `check_up` raises `LogUnavailable` while the log is down."""
        self.letters: dict[str, DeadLetter] = {}
        self.holes: list[ContinuityRecord] = []
        self._check_up = check_up
        self._board = ControlState()
        self._version = 0
        self._changed = asyncio.Condition()
        self._audit: list[AuditRecord] = []

    async def switched(self) -> AsyncGenerator[ControlState, None]:
        """Yield the control state, and again after each change."""
        while True:
            seen = self._version
            yield self._board
            async with self._changed:
                await self._changed.wait_for(partial(self._has_changed_since, seen))

    async def switch(self, control: Control, audit: AuditRecord, /) -> None:
        """Replace the control of a subscriber."""
        await self.note(audit)
        controls = {**self._board.controls, control.subscriber: control}
        await self._change(replace(self._board, controls=controls))

    async def order(self, redrive: Redrive, audit: AuditRecord, /) -> None:
        """Open a redrive, or remove an ended redrive."""
        await self.note(audit)
        redrives = {**self._board.redrives, redrive.id: redrive}
        if redrive.ended_at is not None:
            del redrives[redrive.id]
        await self._change(replace(self._board, redrives=redrives))

    async def leave_out(self, redrive_id: str, letters: Collection[str], audit: AuditRecord, /) -> None:
        """Add these dead letters to the dead letters that an open redrive skips."""
        await self.note(audit)
        if redrive := self._board.redrives.get(redrive_id):
            redrives = {**self._board.redrives, redrive_id: redrive.without(letters)}
            await self._change(replace(self._board, redrives=redrives))

    async def order_snapshot(self, order: SnapshotOrder, audit: AuditRecord, /) -> None:
        """Open or change a snapshot order, or remove an ended snapshot order."""
        await self.note(audit)
        snapshots = {**self._board.snapshots, order.id: order}
        if order.ended_at is not None:
            del snapshots[order.id]
        await self._change(replace(self._board, snapshots=snapshots))

    async def order_position(self, order: PositionOrder, audit: AuditRecord, /) -> None:
        """Open a position order, or remove an ended position order."""
        await self.note(audit)
        positions = {**self._board.positions, order.id: order}
        if order.ended_at is not None:
            del positions[order.id]
        await self._change(replace(self._board, positions=positions))

    async def note(self, audit: AuditRecord, /) -> None:
        """Add an audit record."""
        await asyncio.sleep(0)
        self._check_up()
        self._audit.append(audit)

    async def audit(self, *, last: int) -> Sequence[AuditRecord]:
        """Return the `last` newest audit records."""
        self._check_up()
        return self._audit[-last:] if last else []

    def letter_cursor(self) -> MemoryLetterCursor:
        """Return a new cursor over the dead letters."""
        return MemoryLetterCursor(self.letters, self._check_up)

    async def continuity(self, chosen: ContinuityFilter, *, last: int) -> Sequence[ContinuityRecord]:
        """Return the `last` newest continuity records that `chosen` admits."""
        self._check_up()
        return last_states(self.holes, chosen.admits)[-last:] if last else []

    def continuity_cursor(self) -> MemoryContinuityCursor:
        """Return a new cursor over the continuity records."""
        return MemoryContinuityCursor(self.holes, self._check_up)

    async def acknowledge(self, record: ContinuityRecord, audit: AuditRecord, /) -> None:
        """Replace the last state of a continuity record."""
        await self.note(audit)
        self.holes.append(record)

    async def discard(self, letters: Sequence[str], audit: AuditRecord, /) -> None:
        """Remove dead letters."""
        await self.note(audit)
        for letter in letters:
            self.letters.pop(letter, None)

    def _has_changed_since(self, version: int) -> bool:
        return self._version != version

    async def _change(self, board: ControlState) -> None:
        async with self._changed:
            self._board = board
            self._version += 1
            self._changed.notify_all()


class MemoryProcessRecords:
    """Records of the processes that share one log in memory; a test can add records of other processes."""

    def __init__(self, check_up: Callable[[], None]) -> None:
        """Begin without records; `check_up` raises `LogUnavailable` while the log is down."""
        self.records: list[ProcessRecord] = []
        self._check_up = check_up

    async def report(self, record: ProcessRecord, /) -> None:
        """Add a record."""
        await asyncio.sleep(0)
        self._check_up()
        self.records.append(decode_process_record(encode_process_record(record)))

    async def newest(self, *, since: float) -> Sequence[ProcessRecord]:
        """Return the newest state of each process that has not ended."""
        states = {each.instance: each for each in self._since(ProcessRecordKind.STATE, since)}
        return [each for each in states.values() if each.body is not None]

    async def samples(self, *, since: float) -> Sequence[ProcessRecord]:
        """Return the samples since `since`."""
        return self._since(ProcessRecordKind.SAMPLE, since)

    def _since(self, kind: ProcessRecordKind, since: float) -> Sequence[ProcessRecord]:
        self._check_up()
        return [each for each in self.records if each.kind is kind and each.at >= since]


class MemoryRecordStates:
    """States of the records of some entities; a test can read all of `written`, in their order.

    `kept` are the log's partitions, and `progress` is the progress of its subscribers.
    """

    def __init__(self, kept: MemoryPartitions, progress: _Progress) -> None:
        self._kept = kept
        self._progress = progress
        self.written: list[RecordState] = []
        self._origins: dict[str, str] = {}
        self._states: dict[tuple[str, str], RecordState] = {}

    def begin(self, entities: Collection[str]) -> None:
        """Keep states of exactly `entities` from now on; a subscriber without states changes nothing."""
        if entities:
            self._origins = {each: self._origins.get(each) or uuid4().hex for each in entities}
            self._states = {key: state for key, state in self._states.items() if key[0] in self._origins}

    def replace(self, states: Sequence[RecordState]) -> None:
        """Replace the states of these records."""
        for state in states:
            value, last = encode_record_state(state), encode_last_change(state.last)
            stored = decode_record_state(state.entity, state.record_id, value, last)
            self.written.append(stored)
            self._states[state.entity, state.record_id] = stored

    @property
    def rebuilds(self) -> tuple[()]:
        """Nothing: the log has no copies of states."""
        return ()

    async def origins(self, entities: Collection[str], /) -> Mapping[str, str]:
        """Return an id of each entity's states."""
        return {entity: self._origins[entity] for entity in entities}

    async def of(self, entity: str, record_ids: Collection[str], /) -> Mapping[str, RecordState]:
        """Return the states of these records, by record id."""
        found = {each: self._states.get((entity, each)) for each in record_ids}
        return {record_id: state for record_id, state in found.items() if state is not None}

    async def ends(self, entity: str, /) -> Mapping[Partition, int]:
        """Return the end of the partition with the changes of an entity."""
        changes = partition_of(f"salesforce.cdc.{entity}.*")
        return {changes: len(self._kept.of(changes))} if changes in self._kept else {}

    async def settled(
        self, subscriber: SubscriberName, partitions: Collection[Partition], /
    ) -> Mapping[Partition, int]:
        """Return the settled offsets of a subscriber."""
        progress = self._progress.get(subscriber, {})
        return {each: at.next_offset for each, at in progress.items() if each in partitions}


class ParkedEvents:
    """Parked lanes of one subscriber, with their events."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Partition, str], dict[int, Entry]] = defaultdict(dict)
        self._setbacks: dict[tuple[Partition, str], Setback] = {}

    def change(self, changes: Sequence[LaneChange]) -> None:
        """Apply `changes` of lanes."""
        for change in changes:
            name = change.partition, change.lane
            # The mark `is_admitted` is dropped, because a real log does not store it.
            joined = (replace(entry, is_admitted=False) for entry in change.joined)
            self._entries[name].update((entry.offset, entry) for entry in joined)
            for offset in change.left:
                self._entries[name].pop(offset, None)
            if change.setback is None:
                del self._entries[name]
                self._setbacks.pop(name, None)
            else:
                self._setbacks[name] = change.setback

    def lanes(self, partition: Partition) -> Sequence[ParkedLane]:
        """Return the parked lanes of a partition."""
        return [
            ParkedLane(lane=lane, offsets=tuple(sorted(self._entries[of, lane])), setback=setback)
            for (of, lane), setback in self._setbacks.items()
            if of == partition
        ]

    def entries(self, partition: Partition, offsets: Sequence[int]) -> Sequence[Entry]:
        """Return the parked events among `offsets`, in the order of `offsets`."""
        held = {
            offset: entry
            for (of, _), entries in self._entries.items()
            if of == partition
            for offset, entry in entries.items()
        }
        return [held[offset] for offset in offsets if offset in held]
