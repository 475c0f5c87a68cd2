"""Standstill detection, which delays attempts, and the latest deliveries of watched keys."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from streamer.clock import Clock
from streamer.dispatch.progress.ledger import Ledger
from streamer.events import Entry, Partition, SubscriberName

_log = structlog.get_logger()

_BEATS_A_LIMIT = 4


@dataclass(slots=True, kw_only=True)
class StandstillDetector:
    """Detects two causes of lost partitions: the loop stood still, or the log takes no record.

    From then on no attempt begins until the log has taken a record of the
    partitions. The log waits `session_s` seconds for a silent process before it
    gives its partitions to others. `None` is for a log that never does.
    """

    name: SubscriberName
    ledger: Ledger
    clock: Clock
    session_s: float | None
    lasts: bool = field(default=False, init=False)
    _beat: "Beat | None" = field(default=None, init=False)

    async def run(self) -> None:
        """Check periodically until cancelled; return at once if there is nothing to detect."""
        if self.session_s is None:
            return
        # The last heartbeat can be older than the last strike.
        self._beat = Beat(self.clock, self.session_s / 2)
        while True:
            await self.clock.sleep(self._beat.interval_s)
            self._check()
            self._beat.strike()

    def is_over(self) -> bool:
        """Return whether this process certainly owns all its partitions at this moment."""
        # The process can have stood still until now.
        self._check()
        return not self.ledger.ownership_check.lasts

    async def over(self) -> bool:
        """Wait until this process certainly owns all its partitions; return whether that took time."""
        self._check()
        has_waited = False
        while self.ledger.ownership_check.lasts:
            has_waited = True
            await self.ledger.ownership_check.over()
        return has_waited

    def has_ended(self) -> bool:
        """Return true once, after the record that ended a standstill."""
        if not self.lasts or self.ledger.ownership_check.lasts:
            return False
        self.lasts = False
        _log.info("dispatch.resumed", subscriber=self.name)
        return True

    def _check(self) -> None:
        if self.session_s is None or self._beat is None:
            return
        if frozen_s := self._beat.standstill_s():
            self._begin("dispatch.frozen", frozen_s)
        elif (
            not self.ledger.ownership_check.lasts
            and (unconfirmed_s := self.ledger.unconfirmed_s()) > self.session_s
        ):
            self._begin("dispatch.unconfirmed", unconfirmed_s)

    def _begin(self, what: str, seconds: float) -> None:
        self.lasts = True
        self.ledger.doubt_ownership()
        _log.warning(what, subscriber=self.name, for_s=round(seconds, 3))


class Beat:
    """Periodic time stamp of the running loop, whose age shows a standstill.

    A stopped process, or a loop that a plugin blocks, shows in the monotonic
    time between two strikes. A suspended machine shows in wall time only,
    because the monotonic clock can have stopped with it. A wall clock that is
    set forward looks the same.
    """

    def __init__(self, clock: Clock, limit_s: float) -> None:
        """Treat a pause of more than `limit_s` seconds as a standstill."""
        self._clock = clock
        self._limit_s = limit_s
        self.strike()

    @property
    def interval_s(self) -> float:
        """Seconds between two strikes."""
        return self._limit_s / _BEATS_A_LIMIT

    def strike(self) -> None:
        """Note that the loop runs."""
        self._struck = self._clock.monotonic()
        self._struck_at = self._clock.now()

    def standstill_s(self) -> float:
        """Return the duration of a standstill that has just ended, once; otherwise 0.

        The first caller afterwards gets it, whether the periodic check or a
        delivery.
        """
        since_s = max(self._clock.monotonic() - self._struck, self._clock.now() - self._struck_at)
        if since_s <= self._limit_s:
            return 0.0
        self.strike()
        return since_s


class HasPlace(Protocol):
    """Dead letter with or without its content."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def subscriber(self) -> SubscriberName | None:
        """Subscriber that has set it aside."""
        ...

    @property
    def key(self) -> str | None:
        """Key of its event, if it has one."""
        ...

    @property
    def partition(self) -> Partition | None:
        """Partition of its event."""
        ...

    @property
    def offset(self) -> int | None:
        """Offset of its event."""
        ...


class LatestDeliveries:
    """Highest delivered offset of each key that is watched, from the time when its watch began.

    Earlier deliveries can be read from the log. Both together show if a later event
    has superseded a letter.
    """

    def __init__(self) -> None:
        self._offsets: dict[Partition, dict[str, int]] = {}

    def watch(self, letters: Iterable[HasPlace]) -> None:
        """Watch the keys of `letters`, until their partitions are dropped."""
        for letter in letters:
            if letter.partition is not None and letter.key is not None:
                self._offsets.setdefault(letter.partition, {}).setdefault(letter.key, -1)

    def forget(self, letters: Iterable[HasPlace]) -> None:
        """Watch the keys of `letters` no more."""
        for letter in letters:
            if letter.partition is not None and letter.key is not None:
                self._offsets.get(letter.partition, {}).pop(letter.key, None)

    def watches(self, letter: HasPlace) -> bool:
        """Return true if the key of `letter` is watched."""
        return self._latest(letter) is not None

    def note(self, entry: Entry) -> None:
        """Note a delivered event."""
        if not self._offsets:
            return
        latest = self._offsets.get(entry.partition)
        if latest is not None and latest.get(entry.event.key, entry.offset) < entry.offset:
            latest[entry.event.key] = entry.offset

    def supersede(self, letter: HasPlace) -> bool:
        """Return true if a later event of the key of `letter` was delivered since its watch began."""
        latest = self._latest(letter)
        return latest is not None and letter.offset is not None and letter.offset < latest

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Watch the keys of `partitions` no more: another process can deliver their events."""
        for partition in partitions:
            self._offsets.pop(partition, None)

    def clear(self) -> None:
        """Watch nothing more."""
        self._offsets.clear()

    def _latest(self, letter: HasPlace) -> int | None:
        if letter.partition is None or letter.key is None:
            return None
        return self._offsets.get(letter.partition, {}).get(letter.key)
