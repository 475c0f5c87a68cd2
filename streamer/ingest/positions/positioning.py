"""Positioning of a channel: where reading starts and continues, and the resulting holes."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import structlog

from streamer.clock import CLOCKS_DIFFER_S, Clock
from streamer.controls import ChannelPosition, PositionOrder
from streamer.errors import ReplayIdRefused
from streamer.events import Batch, Channel, Checkpoint, ContinuityRecord, HoleCause, Repair, Start
from streamer.ingest.positions.checkpoints import (
    ChannelStart,
    OrderedPositions,
    Since,
    complete_until,
    source_position,
    tell_position,
)
from streamer.ingest.positions.holes import (
    first_snapshot,
    forgotten_too,
    forgotten_until,
    hole_before,
    lost_place,
    refused_hole,
    unmarked_hole,
    without_place,
)
from streamer.ingest.positions.moves import (
    move_of,
    position_record,
    refused_move,
    skipped_to_id,
    unchanged_record,
    without_ids,
)

OnRefused = Literal["repair", "earliest", "latest", "fail"]

Found = Callable[[ContinuityRecord], ContinuityRecord]
"""Returns the state of a new hole, which is open if it will be repaired."""

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class _Begun:
    """How reading began at the current position.

    If reading began at a time, `since` has this time, until the first batch shows which
    events are retained. `skips` means that events before the position are skipped.
    `is_from_earliest` means that all retained events are read.
    """

    since: Since | None = None
    skips: bool = False
    is_from_earliest: bool = False


@dataclass(slots=True, kw_only=True)
class Positioning:
    """Decides where reading of one channel starts and continues.

    `start` applies if the log has no checkpoint, `on_refused` if Salesforce refuses
    a replay id, and `orders` if an operator wants another position. If a decision
    means that events are or can be missing, `Positioning` opens a hole. The next
    commit writes the `holes`, so that a position and the record that explains it
    enter the log together. After the commit, call `recorded`.
    """

    channel: Channel
    clock: Clock
    start: ChannelStart = Start.LATEST
    on_refused: OnRefused = "earliest"
    orders: OrderedPositions | None = None
    _holes: dict[str, ContinuityRecord] = field(default_factory=dict, init=False)
    _repaired: Found | None = field(default=None, init=False)
    _begun: _Begun = field(default_factory=_Begun, init=False)

    @property
    def holes(self) -> Sequence[ContinuityRecord]:
        """Records that are not in the log yet."""
        return list(self._holes.values())

    def recorded(self) -> None:
        """Take note that the log has the `holes`; this can finish an order."""
        recorded, self._holes = self._holes, {}
        self._begun.skips = False
        if self.orders is not None:
            self.orders.recorded(recorded)

    def begin(
        self, checkpoint: Checkpoint | None, *, repaired: Found | None, wake: Callable[[], None]
    ) -> Checkpoint | Start:
        """Return where reading starts, given the `checkpoint` in the log.

        If `repaired` is set, it is called with each new hole. `wake` is called when
        there is a new order. If a new channel starts with a snapshot, its first
        commit contains the snapshot's record.
        """
        self._repaired = repaired
        if self.orders is not None:
            self.orders.resume(wake)
        tell_position(self.channel, checkpoint, self.start, self.clock.now())
        if checkpoint is not None:
            return checkpoint
        if isinstance(self.start, Since):
            self._begun.since = self.start
        elif self.start == "snapshot":
            self._begin_snapshot()
        return source_position(self.channel, self.start)

    @property
    def has_order(self) -> bool:
        """True while an operator's order is waiting."""
        return self.orders is not None and self.orders.has_order

    async def next_order(self) -> PositionOrder | None:
        """Return the next order to execute: see `OrderedPositions.begin`."""
        return await self.orders.begin() if self.orders is not None else None

    def moved(self, order: PositionOrder, stored: Checkpoint | None) -> Checkpoint | Start:
        """Return the position that `order` requests; `stored` is the log's checkpoint.

        The order's record is written with the first batch that follows. A crash
        before that batch is in the log leaves the position and the order unchanged.
        """
        now = self.clock.now()
        move = move_of(order, self.channel, stored, self.start, now)
        hole = position_record(move, order, self.channel, stored, now)
        # The order's hole covers the unrecorded holes of the earlier position.
        self._holes = {name: each for name, each in self._holes.items() if each.state is Repair.OPEN}
        is_from_time = order.since is not None and (move.skips or move.lost_from is None)
        self._begun = _Begun(
            since=Since(at=order.since or 0.0) if is_from_time else None,
            skips=move.skips,
            is_from_earliest=move.after is Start.EARLIEST,
        )
        if move.with_snapshot:
            self._begin_snapshot()
        self._holes[hole.id] = hole if move.skips else self._found(hole)
        _log.warning(
            "position.set",
            channel=str(self.channel),
            order=order.id,
            by=order.by,
            verified_at=hole.verified_at,
            state=self._holes[hole.id].state,
            detail=hole.detail,
        )
        return move.after

    @property
    def is_ordered_id(self) -> bool:
        """True if the position is a replay id from an operator's order that the log has not recorded."""
        order = self._unrecorded_order
        return order is not None and order.place is ChannelPosition.REPLAY_ID

    def kept(self, refused: ReplayIdRefused, stored: Checkpoint | None) -> Checkpoint | Start:
        """Return the position in the log, because Salesforce `refused` the ordered replay id."""
        order = self._unrecorded_order
        if order is None:
            raise refused
        hole = self._holes[order.id] = unchanged_record(self._holes[order.id], order, str(refused))
        _log.warning("position.not_set", channel=str(self.channel), order=order.id, detail=hole.detail)
        return source_position(self.channel, self.start) if stored is None else stored

    def resumed(self, refused: ReplayIdRefused, stored: Checkpoint | None) -> Checkpoint | Start:
        """Return where reading continues without the replay id of `stored`, or raise `refused`."""
        if (order := self._unrecorded_order) is not None:
            return self._read_retained(order, stored)
        if self.on_refused == "fail":
            raise _with_way_out(refused) from refused
        resumes_at = Start.EARLIEST if self.on_refused == "repair" else Start(self.on_refused)
        # An id that is refused within its retention shows that the stream was reset and retains nothing.
        hole = self._found(refused_hole(self.channel, stored, resumes_at, self.clock.now()))
        self._holes[hole.id] = hole
        log = _log.error if hole.is_unrepaired else _log.warning
        log(
            "replay_id.refused",
            channel=str(self.channel),
            resumes_at=resumes_at,
            verified_at=hole.verified_at,
            state=hole.state,
            answer=str(refused),
        )
        if stored is not None and resumes_at is Start.EARLIEST:
            # Without the id, the source finds the log's last event and drops the events before it.
            return without_ids(stored)
        return resumes_at

    def came(self, batch: Batch, checkpoint: Checkpoint | None) -> None:
        """Record the holes that `batch` reveals; the batch follows `checkpoint`."""
        if batch.place_lost:
            self._lose_place(checkpoint)
        since = 0.0 if self._begun.is_from_earliest else batch.unmarked_since
        self._begun.is_from_earliest = False
        if since is not None:
            self._begin_unmarked(since, checkpoint, batch.read_at)

    @property
    def _unrecorded_order(self) -> PositionOrder | None:
        """Order in progress whose record is not in the log yet."""
        order = self.orders.current if self.orders is not None else None
        return order if order is not None and order.id in self._holes else None

    def _read_retained(self, order: PositionOrder, stored: Checkpoint | None) -> Checkpoint | Start:
        """Return the position for an order, after Salesforce refused the replay id in the log."""
        hole, after = refused_move(self._holes[order.id], stored, self.clock.now())
        self._holes[order.id] = hole = hole if self._begun.skips else self._found(hole)
        _log.warning("replay_id.refused", channel=str(self.channel), order=order.id, state=hole.state)
        return after

    def _begin_snapshot(self) -> None:
        snapshot = first_snapshot(self.channel, self.clock.now())
        snapshot = snapshot if self._repaired is None else self._repaired(snapshot)
        self._holes[snapshot.id] = snapshot

    def _begin_unmarked(self, since: float, checkpoint: Checkpoint | None, read_at: float) -> None:
        """Record the events that were dropped since a time, if reading began at that time."""
        named, self._begun.since = self._begun.since, None
        if named is not None:
            self._begin_since(named, read_at)
        elif self._explaining:
            self._forget_more(since, read_at)
        elif since and (until := forgotten_until(self.channel, since, read_at)):
            complete = min(since, complete_until(checkpoint) or since)
            hole = self._found(unmarked_hole(self.channel, complete, until, read_at))
            self._holes[hole.id] = hole
            _log.warning("place.lost", channel=str(self.channel), verified_at=complete, state=hole.state)

    def _begin_since(self, since: Since, read_at: float) -> None:
        """Record the hole of a channel that starts before Salesforce's retention."""
        if hole := hole_before(self.channel, since.at, read_at):
            hole = self._found(hole)
            self._holes[hole.id] = hole
            _log.warning("start.not_retained", channel=str(self.channel), start=str(since), state=hole.state)

    @property
    def _explaining(self) -> Sequence[ContinuityRecord]:
        """Records, not in the log yet, which say since when events before this position can be missing."""
        causes = {HoleCause.REPLAY_ID_REFUSED}
        if not self._begun.skips:
            causes.add(HoleCause.POSITION_SET)
        return [each for each in self._holes.values() if each.cause in causes and each.verified_at]

    def _forget_more(self, since: float, read_at: float) -> None:
        """Extend the records of this position by the events that were dropped before reading began."""
        for hole in self._explaining:
            # The log holds all events up to the last time at which nothing was missing.
            begin = max(since, (hole.verified_at or 0.0) - CLOCKS_DIFFER_S)
            if until := forgotten_until(self.channel, begin, read_at):
                self._holes[hole.id] = self._found(forgotten_too(hole, until, read_at))

    def _lose_place(self, checkpoint: Checkpoint | None) -> None:
        order = self._unrecorded_order
        if order is not None and order.place is ChannelPosition.REPLAY_ID:
            # Salesforce retains every event after the named id, so the log's end is before that id.
            self._begun.skips = True
            self._holes[order.id] = skipped_to_id(self._holes[order.id])
        without = {name: without_place(hole) for name, hole in self._holes.items()}
        # Skipped events are not repaired, and the state of other holes is known.
        changed = {name: self._found(hole) for name, hole in without.items() if hole is not self._holes[name]}
        self._holes |= changed
        if checkpoint is None:
            return
        hole = self._found(lost_place(self.channel, checkpoint, self.clock.now()))
        self._holes[hole.id] = hole
        _log.warning("place.lost", channel=str(self.channel), verified_at=hole.verified_at, state=hole.state)

    def _found(self, hole: ContinuityRecord) -> ContinuityRecord:
        """Return the state of a hole by the policy for refused replay ids."""
        if self._repaired is None or self.on_refused != "repair" or hole.state is Repair.FULL:
            return hole
        return self._repaired(hole)


def _with_way_out(refused: ReplayIdRefused) -> ReplayIdRefused:
    """Return the error for a channel that stops at a refused replay id, with the operator's choices."""
    command = f"streamer checkpoint set {shlex.quote(refused.path)}"
    said = str(refused).rstrip(".")
    return ReplayIdRefused(
        f"{said}. The channel stops, because on_refused_replay_id is set to fail. Run `{command} "
        f"--earliest` to read all events that Salesforce still retains, or `{command} --latest` to "
        "read only new events; or set on_refused_replay_id to repair, earliest or latest",
        path=refused.path,
    )
