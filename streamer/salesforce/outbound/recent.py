"""Ids of recent notifications, kept in the log with the channel's checkpoint.

Salesforce repeats a notification for 24 hours, until it is acknowledged (SOAP API
guide, outbound messaging). So the log keeps the ids of a day. The log keeps the ids
in slots, so that an append rewrites one slot and not all ids.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from streamer.clock import CLOCKS_DIFFER_S, Clock
from streamer.events import Channel, Checkpoint, ContinuityRecord, DeadLetter, Event, EventId, ReplayId
from streamer.ports import Append, EventLog

_log = structlog.get_logger()

KEPT_S = 24 * 3600.0 + 2 * CLOCKS_DIFFER_S
"""Seconds for which an id is kept; with too many ids, old ids are dropped earlier."""

SLOT_IDS = 1_000
"""Number of ids that fill a slot."""

MOST_SLOTS = 200
"""Largest number of slots of a channel."""

_STEP_S = 0.001


@dataclass(slots=True)
class RecentNotifications:
    """Ids of the notifications that one channel has received in a day: at most 200,000 ids.

    The log keeps each slot as a separate checkpoint, whose `appended` has the ids
    and whose `verified_at` is the time of the last id. Slots are filled one after
    the other. A slot is used again when its last id is older than a day.
    """

    _slots: list[Checkpoint] = field(default_factory=list)
    _ids: set[EventId] = field(default_factory=set)

    def __contains__(self, id_: object) -> bool:
        """Return true if the log is known to hold the notification."""
        return id_ in self._ids

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self._ids)

    @property
    def newest(self) -> Checkpoint | None:
        """The slot that was written last."""
        return max(self._slots, key=_time, default=None)

    def load(self, slots: Iterable[Checkpoint]) -> None:
        """Replace the known ids with the ids in the log."""
        self._slots = list(slots)
        self._ids = {id_ for slot in self._slots for id_ in slot.appended}

    def slot_for(self, channel: Channel, ids: Sequence[EventId], now: float) -> Checkpoint:
        """Return the slot to commit with the notifications `ids`."""
        current = self.newest
        former: tuple[EventId, ...] = ()
        if current is not None and len(current.appended) < SLOT_IDS:
            number, former = self._slots.index(current), current.appended
        else:
            number = self._free(now)
        appended = (*former, *ids)
        return Checkpoint(
            channel=slot_channel(channel, number),
            replay_id=ReplayId(appended[-1].encode()) if appended else None,
            # The slot with the latest time is the one being filled, so times must differ.
            verified_at=max(now, current.verified_at + _STEP_S) if current else now,
            appended=appended,
        )

    def committed(self, slot: Checkpoint) -> None:
        """Record that the log holds `slot`."""
        number = int(slot.channel.path.rpartition("#")[2])
        if number == len(self._slots):
            self._slots.append(slot)
        else:
            self._ids.difference_update(self._slots[number].appended)
            self._slots[number] = slot
        self._ids.update(slot.appended)

    def _free(self, now: float) -> int:
        oldest = min(range(len(self._slots)), key=lambda number: _time(self._slots[number]), default=None)
        if oldest is None or (now - _time(self._slots[oldest]) <= KEPT_S and len(self._slots) < MOST_SLOTS):
            return len(self._slots)
        if now - _time(self._slots[oldest]) <= KEPT_S:
            _log.warning(
                "outbound.ids_forgotten",
                channel=str(self._slots[oldest].channel),
                age_s=round(now - _time(self._slots[oldest])),
                hint="the channel got more than 200,000 notifications in a day, so Streamer forgot old "
                "ids; a notification that Salesforce repeats late can be in the log twice",
            )
        return oldest


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationLog:
    """`EventLog` of one channel of outbound messages, which keeps the `recent` ids in `log`.

    Ids and their events are committed in one transaction.
    """

    log: EventLog
    recent: RecentNotifications
    clock: Clock

    async def checkpoint(self, channel: Channel) -> Checkpoint | None:
        """Read all slots of `channel`; return the newest slot without its ids. Raises `LogUnavailable`."""
        slots: list[Checkpoint] = []
        while len(slots) < MOST_SLOTS:
            slot = await self.log.checkpoint(slot_channel(channel, len(slots)))
            if slot is None:
                break
            slots.append(slot)
        self.recent.load(slots)
        newest = self.recent.newest
        return None if newest is None else replace(newest, channel=channel, appended=())

    async def open_holes(self, channel: Channel) -> Sequence[ContinuityRecord]:
        """Return the open holes of `channel`."""
        return await self.log.open_holes(channel)

    def begin(self, channel: Channel) -> "NotificationAppend":
        """Return a new, empty append to `channel`."""
        return NotificationAppend(append=self.log.begin(channel), within=self, channel=channel)


@dataclass(slots=True, kw_only=True)
class NotificationAppend:
    """Append that commits the ids of its notifications as a slot."""

    append: Append
    within: NotificationLog
    channel: Channel
    _ids: list[EventId] = field(default_factory=list, init=False)

    @property
    def size(self) -> int:
        """Size of the added events in bytes."""
        return self.append.size

    def add(self, events: Sequence[Event], /) -> None:
        """Encode `events` and keep their ids, including the ids of refused events, which are set aside."""
        self._ids += [event.id for event in events]
        self.append.add(events)

    async def commit(
        self,
        checkpoint: Checkpoint,  # noqa: ARG002 - the port's shape; the slot takes its place
        /,
        *,
        set_aside: Sequence[DeadLetter] = (),
        continuity: Sequence[ContinuityRecord] = (),
        redriven: Collection[str] = (),
    ) -> None:
        """Write the events, the dead letters and the slot atomically."""
        recent = self.within.recent
        slot = recent.slot_for(self.channel, self._ids, self.within.clock.now())
        await self.append.commit(slot, set_aside=set_aside, continuity=continuity, redriven=redriven)
        recent.committed(slot)


def slot_channel(channel: Channel, number: int) -> Channel:
    """Return the channel under which the log keeps a slot: `/outbound/leads#0`."""
    return replace(channel, path=f"{channel.path}#{number}")


def _time(slot: Checkpoint) -> float:
    return slot.verified_at
