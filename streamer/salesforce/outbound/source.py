"""Source of the notifications that Salesforce sends to the endpoint, with one inbox per channel."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from streamer.clock import Clock
from streamer.events import Batch, Channel, Checkpoint, JsonObject, OrgId, Start, Unreadable
from streamer.salesforce.outbound.recent import RecentNotifications

_MOST_AT_ONCE = 1_000
_MOST_WAITING_BYTES = 32 * 1024 * 1024
_log = structlog.get_logger()


class NotTaken(Exception):
    """The log does not hold the notifications: Salesforce must send them again."""


class InboxObserver(Protocol):
    """Counts notifications. Its methods must not block or raise."""

    def repeated(self, path: str, notifications: int) -> None:
        """Salesforce repeated notifications that the log already holds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Notifications of one envelope of `size` bytes, or the unreadable envelope itself."""

    messages: Sequence[JsonObject] = ()
    unreadable: Sequence[Unreadable] = ()
    size: int


@dataclass(slots=True, kw_only=True, eq=False)
class _Waiting:
    arrival: Arrival
    answer: asyncio.Future[None]


@dataclass(slots=True, kw_only=True, eq=False)
class Group:
    """Arrivals that are appended together, without notifications that the log already holds."""

    messages: list[JsonObject] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    repeated: int = 0
    _answers: list[asyncio.Future[None]] = field(default_factory=list)

    def settle(self) -> None:
        """Acknowledge the arrivals, because the log holds all their notifications."""
        for answer in self._answers:
            if not answer.done():
                answer.set_result(None)

    def refuse(self, reason: str) -> None:
        """Make Salesforce send the arrivals again."""
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(NotTaken(reason))


class Inbox:
    """Queue between the endpoint and the channel's consumer, bounded in bytes."""

    def __init__(self, org: OrgId, recent: Container[str]) -> None:
        """Accept notifications of `org`, and skip notifications whose ids are in `recent`."""
        self.org = org
        self._recent = recent
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()

    async def deliver(self, arrival: Arrival) -> None:
        """Return when the log holds all notifications of `arrival`. Raises `NotTaken`."""
        if self._bytes + arrival.size > _MOST_WAITING_BYTES:
            raise NotTaken("too many notifications are waiting to be written to the log")
        waiting = _Waiting(arrival=arrival, answer=asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._bytes += arrival.size
        self._arrived.set()
        await waiting.answer

    async def take(self) -> Group:
        """Wait for arrivals, and return some of them in order; all of them can be repetitions."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        group, seen = Group(), set[str]()
        while self._waiting and len(group.messages) < _MOST_AT_ONCE:
            waiting = self._waiting.popleft()
            self._bytes -= waiting.arrival.size
            # If an arrival waited too long, Salesforce was already asked to send it again.
            if not waiting.answer.done():
                self._add(waiting, group, seen)
        return group

    def close(self, reason: str) -> None:
        """Refuse all waiting arrivals."""
        group = Group(_answers=[waiting.answer for waiting in self._waiting])
        self._waiting.clear()
        self._bytes = 0
        group.refuse(reason)

    def _add(self, waiting: _Waiting, group: Group, seen: set[str]) -> None:
        for message in waiting.arrival.messages:
            id_ = message["notification_id"]
            if id_ is not None and (id_ in self._recent or id_ in seen):
                group.repeated += 1
                continue
            seen.add(id_)
            group.messages.append(message)
        group.unreadable += waiting.arrival.unreadable
        group._answers.append(waiting.answer)  # noqa: SLF001 - a group is made here


_ANSWERED_WITHIN_S = 20.0
_NOT_READ = "this process does not read the channel"


class OutboundSource:
    """Source whose batches come from the endpoint.

    An arrival is acknowledged when its batch is committed. If the consumer ends
    before the commit, the arrival is refused. The order of arrivals has no meaning,
    because Salesforce repeats old notifications between new ones.
    """

    def __init__(self, clock: Clock, observer: InboxObserver) -> None:
        self._clock = clock
        self._observer = observer
        self._inboxes: dict[str, Inbox] = {}
        self._recent: dict[Channel, RecentNotifications] = {}

    @property
    def subscribed(self) -> frozenset[str]:
        """Paths of the channels that are being read."""
        return frozenset(self._inboxes)

    @property
    def overdue(self) -> Mapping[str, int]:
        """Always empty, because Salesforce need not send anything."""
        return {}

    def organization(self, path: str) -> OrgId | None:
        """Return the org whose notifications the channel `path` accepts; `None` without a consumer."""
        inbox = self._inboxes.get(path)
        return None if inbox is None else inbox.org

    def recent(self, channel: Channel) -> RecentNotifications:
        """Return the notifications of `channel` that the log is known to hold; always the same object."""
        return self._recent.setdefault(channel, RecentNotifications())

    async def deliver(self, path: str, arrival: Arrival) -> None:
        """Return when the log holds `arrival`. Raises `NotTaken` after 20 s at the latest."""
        inbox = self._inboxes.get(path)
        if inbox is None:
            raise NotTaken(_NOT_READ)
        try:
            async with self._clock.timeout(_ANSWERED_WITHIN_S):
                await inbox.deliver(arrival)
        except TimeoutError:
            raise NotTaken(
                f"the log did not accept the notifications within {_ANSWERED_WITHIN_S:.0f} s"
            ) from None

    async def batches(self, channel: Channel, *, after: Checkpoint | Start) -> AsyncGenerator[Batch, None]:  # noqa: ARG002 - Salesforce knows which messages need repeating
        """Yield the arrivals for `channel` that are not in `recent`: see `streamer.ports.Source`."""
        inbox = self._inboxes[channel.path] = Inbox(channel.org, self.recent(channel))
        _log.info("channel.subscribed", channel=str(channel))
        try:
            while True:
                group = await inbox.take()
                if group.repeated:
                    self._observer.repeated(channel.path, group.repeated)
                try:
                    if group.messages or group.unreadable:
                        yield Batch(
                            channel=channel,
                            read_at=self._clock.now(),
                            messages=group.messages,
                            unreadable=group.unreadable,
                        )
                    group.settle()
                finally:
                    group.refuse("the log did not accept the notifications")
        finally:
            if self._inboxes.get(channel.path) is inbox:
                del self._inboxes[channel.path]
            inbox.close(_NOT_READ)

    def settle(self, checkpoint: Checkpoint, /) -> None:
        """Do nothing, because the consumer's request for the next batch settles the last batch."""
