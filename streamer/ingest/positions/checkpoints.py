"""Positions of a channel: its start, the checkpoint after each read, and an operator's orders."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import structlog

from streamer.clock import CLOCKS_DIFFER_S
from streamer.controls import PositionOrder
from streamer.errors import RetryLater
from streamer.events import (
    Batch,
    Channel,
    Checkpoint,
    ContinuityRecord,
    EventId,
    ReplayId,
    Start,
    is_of_cometd,
    replay_id_to_text,
)
from streamer.ingest.read_batch import ReadBatch
from streamer.ports import RecordedHoles
from streamer.settings import StartTime, StartWord

# The date can be wrong by any amount, for example if a proxy sets it.
_MOST_BEHIND_S = 86_400.0
# If an id marks the position, an old date would only make the position seem old.
_MOST_BEHIND_AN_ID_S = 900.0
_log = structlog.get_logger()


def advanced(checkpoint: Checkpoint | None, read: ReadBatch, batch: Batch) -> Checkpoint:
    """Return the checkpoint after `read`, which follows `checkpoint`.

    The last replay id stays open, because split events share a replay id and more
    events of this id can follow. All earlier replay ids are complete. As far as
    known, no event up to the last event's commit is missing.
    """
    former = checkpoint or Checkpoint(
        channel=batch.channel, replay_id=None, verified_at=0.0, positioned_at=batch.read_at
    )
    items = read.mixed or read.events
    placed = [item for item in items[-1:] if item.replay_id] or [item for item in items if item.replay_id]
    if not placed:
        return former

    last = placed[-1].replay_id
    ids: list[EventId] = []
    before = None
    for item in reversed(items):
        if item.replay_id == last:
            ids.append(EventId(item.id))
        elif item.replay_id is not None:
            before = item.replay_id
            break
    ids.reverse()
    replay_id = before or former.open_replay_id or former.replay_id
    if last == former.open_replay_id:
        # The id stays open, even if no earlier id is known.
        replay_id, ids = former.replay_id, [*former.appended, *ids]
    elif before is None and _is_of_other_transport(last, former.open_replay_id):
        # The new id can be the open position on the other transport, so its event ids are kept.
        ids = [*former.appended, *ids]
    committed_at = _committed_at(read)
    return Checkpoint(
        channel=batch.channel,
        replay_id=replay_id,
        verified_at=_verified_at(former.verified_at, committed_at, by_time=replay_id is None),
        appended=tuple(ids),
        open_replay_id=last,
        positioned_at=committed_at or former.positioned_at,
        skips_after=former.skips_after if replay_id is None else None,
    )


def confirmed(checkpoint: Checkpoint | None, batch: Batch) -> Checkpoint:
    """Return the checkpoint that follows `checkpoint` after an answer without messages.

    The answer completes the last replay id: Salesforce stores split events
    together, so no further event can have this replay id. As far as known, no event
    up to now is missing. If the answer has a position, that position is at or after
    the last event; the other transport still has to search for the last event.
    """
    replay_id, skips_after = batch.position, None
    positioned_at: float | None = batch.read_at
    confirmed_at = batch.read_at
    if replay_id is None:
        known = checkpoint or Checkpoint(channel=batch.channel, replay_id=None, verified_at=0.0)
        replay_id, positioned_at = known.open_replay_id or known.replay_id, known.positioned_at
        skips_after = known.skips_after if replay_id is None else None
    behind_s = 0.0 if batch.org_time is None else batch.read_at - batch.org_time
    if _is_dated_by_org(behind_s, by_time=replay_id is None):
        confirmed_at -= behind_s
    return Checkpoint(
        channel=batch.channel,
        replay_id=replay_id,
        verified_at=confirmed_at,
        appended=checkpoint.appended if checkpoint is not None else (),
        positioned_at=positioned_at,
        skips_after=skips_after,
    )


def verified_at(checkpoint: Checkpoint | None) -> float | None:
    """Return the last time up to which, as far as known, no event is missing; `None` without such a time."""
    # After unreadable messages only, a checkpoint has no time.
    return (checkpoint.verified_at if checkpoint else 0.0) or None


def complete_until(checkpoint: Checkpoint | None) -> float | None:
    """Return the last time up to which the log is complete, or `None` if this time is unknown.

    If a channel has received only unreadable messages, the log possibly has none of
    the events that Salesforce retained when the first message arrived.
    """
    if checkpoint is None or checkpoint.verified_at or checkpoint.positioned_at is None:
        return verified_at(checkpoint)
    return checkpoint.positioned_at - checkpoint.channel.retention_s


def without_appended(read: ReadBatch, checkpoint: Checkpoint) -> ReadBatch:
    """Return `read` without the events that `checkpoint` shows to be in the log already."""
    # Only messages at the checkpoint's position can be read again. Elsewhere,
    # the same event id is a publisher's duplicate, which must be kept.
    seen = frozenset(checkpoint.appended)
    position = checkpoint.open_replay_id
    items = read.mixed or read.events
    new = [item for item in items if item.replay_id != position or item.id not in seen]
    return read if len(new) == len(items) else ReadBatch.of(new)


def _is_dated_by_org(behind_s: float, *, by_time: bool) -> bool:
    """Return whether to date a quiet answer by Salesforce's clock, which is `behind_s` behind ours.

    Salesforce's clock dates the commits of events. If our faster clock dated the
    answer, later events could seem older than the answer, and a source that resumes
    by time would drop these events. If an id marks the position, only the other
    transport resumes by time, and its usual margin covers a difference of a minute.
    """
    if by_time:
        return 0.0 < behind_s < _MOST_BEHIND_S
    return CLOCKS_DIFFER_S < behind_s < _MOST_BEHIND_AN_ID_S


def _is_of_other_transport(replay_id: ReplayId | None, other: ReplayId | None) -> bool:
    return replay_id is not None and other is not None and is_of_cometd(replay_id) != is_of_cometd(other)


def _verified_at(former: float, committed: float, *, by_time: bool) -> float:
    """Return the later of two times; with `by_time`, return a time of Salesforce's clock.

    `by_time` means that reading resumes by this time, because no id is known.
    `former` can be a time of our clock, because our clock dates a quiet answer. If
    our clock is ahead, later events would seem to be earlier than that answer.
    """
    if not by_time:
        return max(former, committed)
    return committed or max(0.0, former - CLOCKS_DIFFER_S)


def _committed_at(read: ReadBatch) -> float:
    return datetime.fromisoformat(read.events[-1].time).timestamp() if read.events else 0.0


class PositionOrdered(Exception):
    """An operator has ordered another position: reading ends here, between two answers."""


@dataclass(slots=True, kw_only=True)
class OrderedPositions:
    """An operator's orders for the position of one channel.

    Each order is executed once, the oldest order first. An order is finished when
    the continuity record with the order's id is in the log. Then `ended` is called
    with the order and the record; `ended` must remove the order.
    """

    log: RecordedHoles
    ended: Callable[[PositionOrder, ContinuityRecord], None]
    _orders: dict[str, PositionOrder] = field(default_factory=dict, init=False)
    _known: set[str] = field(default_factory=set, init=False)
    _current: PositionOrder | None = field(default=None, init=False)
    _wake: Callable[[], None] = field(default=lambda: None, init=False)

    @property
    def current(self) -> PositionOrder | None:
        """Order in progress: the channel is read from its position, which the log has not recorded yet."""
        return self._current

    @property
    def has_order(self) -> bool:
        """True if an order waits and none is in progress, or if the order in progress was withdrawn."""
        if self._current is not None:
            return self._current.id not in self._orders
        return not self._known.issuperset(self._orders)

    def resume(self, wake: Callable[[], None]) -> None:
        """Set `wake`, which is called when the orders change."""
        self._wake = wake

    def follow(self, orders: Mapping[str, PositionOrder]) -> None:
        """Replace this channel's orders (keyed by id)."""
        self._orders = dict(sorted(orders.items(), key=lambda each: each[1].at))
        self._known.intersection_update(self._orders)
        self._wake()

    async def begin(self) -> PositionOrder | None:
        """Return the oldest order without a record in the log, and mark it as in progress; or return `None`.

        Raises the errors of the log, and `RetryLater` if the order in progress was
        withdrawn; the log then has no trace of that order. For the channel's owner,
        the result is as certain as `RecordedHoles.holes`.
        """
        if self._current is not None:
            self._current = None
            raise RetryLater(
                "an operator's order to set the position was withdrawn, so reading continues at the old "
                "position"
            )
        waiting = [each for name, each in self._orders.items() if name not in self._known]
        found = await self.log.holes([each.id for each in waiting])
        for order in waiting:
            if order.id not in found:
                self._current = order
                return order
            self._end(order, found[order.id])
        return None

    def recorded(self, records: Mapping[str, ContinuityRecord]) -> None:
        """Take note that `records` (by id) are in the log; this can finish the current order."""
        if self._current is not None and self._current.id in records:
            order, self._current = self._current, None
            self._end(order, records[order.id])

    def _end(self, order: PositionOrder, record: ContinuityRecord) -> None:
        self._known.add(order.id)
        self.ended(order, record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """Start at the first retained event that was committed at `at` (epoch seconds) or later."""

    at: float

    def __str__(self) -> str:
        """Return the start in words, with the time in UTC."""
        return f"since {datetime.fromtimestamp(self.at, UTC).isoformat(timespec='seconds')}"


ChannelStart = Start | Since | Literal["snapshot"]
"""Start of a channel: `snapshot` starts with new events, then reads the existing records."""


def configured_start(configured: StartWord | StartTime) -> ChannelStart:
    """Return the start in a channel's settings."""
    if isinstance(configured, StartTime):
        return Since(at=configured.since.timestamp())
    return "snapshot" if configured is StartWord.SNAPSHOT else Start(configured)


def source_position(channel: Channel, start: ChannelStart) -> Checkpoint | Start:
    """Return the position from which a source starts to read `channel`."""
    if isinstance(start, Since):
        # A source subtracts this margin, but `at` is already a time of Salesforce's clock.
        return Checkpoint(channel=channel, replay_id=None, verified_at=start.at + CLOCKS_DIFFER_S)
    return Start.LATEST if start == "snapshot" else start


def tell_position(channel: Channel, checkpoint: Checkpoint | None, start: ChannelStart, now: float) -> None:
    """Log where reading of `channel` resumes, and the age of this position at `now` if its time is known."""
    if checkpoint is None:
        reason = "the log has no checkpoint of the channel"
        _log.info("channel.positioned", channel=str(channel), at=str(start), reason=reason)
        return
    known = verified_at(checkpoint)
    age_s = round(now - known, 1) if known else None
    if checkpoint.replay_id is None:
        reason = "the checkpoint holds no complete replay id"
        _log.info("channel.positioned", channel=str(channel), at=Start.EARLIEST, age_s=age_s, reason=reason)
        return
    after = replay_id_to_text(checkpoint.replay_id)
    retained_s = channel.retention_s
    _log.info("channel.positioned", channel=str(channel), after=after, age_s=age_s, retained_s=retained_s)
