"""Source of the notifications that Salesforce sends to the endpoint."""

from collections.abc import AsyncGenerator, Mapping

import structlog

from streamer.clock import Clock
from streamer.events import Batch, Channel, Checkpoint, OrgId, Start
from streamer.salesforce.outbound.inbox import Arrival, Inbox, InboxObserver, NotTaken
from streamer.salesforce.outbound.recent import RecentNotifications

_log = structlog.get_logger()

_ANSWERED_WITHIN_S = 20.0
_NOT_READ = "this process does not read the channel"


class OutboundSource:
    """Source whose channels are filled by the endpoint.

    An arrival is acknowledged when its batch was committed, and refused when
    the batch's consumer ends before. The order of arrivals means nothing:
    Salesforce repeats notifications, and sends later ones meanwhile.
    """

    def __init__(self, clock: Clock, observer: InboxObserver) -> None:
        self._clock = clock
        self._observer = observer
        self._inboxes: dict[str, Inbox] = {}
        self._recent: dict[Channel, RecentNotifications] = {}

    @property
    def subscribed(self) -> frozenset[str]:
        """Paths of the channels that are read."""
        return frozenset(self._inboxes)

    @property
    def overdue(self) -> Mapping[str, int]:
        """Nothing: Salesforce need not send anything."""
        return {}

    def organization(self, path: str) -> OrgId | None:
        """Return the org whose notifications the channel `path` takes, `None` while it is not read."""
        inbox = self._inboxes.get(path)
        return None if inbox is None else inbox.org

    def recent(self, channel: Channel) -> RecentNotifications:
        """Return the notifications of `channel` that the log is known to hold, the same object each time."""
        return self._recent.setdefault(channel, RecentNotifications())

    async def deliver(self, path: str, arrival: Arrival) -> None:
        """Return when the log holds `arrival`; raises `NotTaken`, within 20 s."""
        inbox = self._inboxes.get(path)
        if inbox is None:
            raise NotTaken(_NOT_READ)
        try:
            async with self._clock.timeout(_ANSWERED_WITHIN_S):
                await inbox.deliver(arrival)
        except TimeoutError:
            raise NotTaken(f"the log has not taken them within {_ANSWERED_WITHIN_S:.0f} s") from None

    async def batches(self, channel: Channel, *, after: Checkpoint | Start) -> AsyncGenerator[Batch, None]:  # noqa: ARG002 - Salesforce knows itself what is not acknowledged
        """Yield what arrives for `channel`, without what `recent` holds; see `streamer.ports.Source`."""
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
                    group.refuse("the log did not take them")
        finally:
            if self._inboxes.get(channel.path) is inbox:
                del self._inboxes[channel.path]
            inbox.close(_NOT_READ)

    def settle(self, checkpoint: Checkpoint, /) -> None:
        """Do nothing: the request for the next batch has the same meaning."""
