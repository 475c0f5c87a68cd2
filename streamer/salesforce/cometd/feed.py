"""Feed of one channel: connects the session's reader to the channel's consumer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from streamer.errors import StreamerError
from streamer.events import Batch, Channel, Checkpoint, Unreadable
from streamer.salesforce.cometd.protocol import JsonObject
from streamer.salesforce.cometd.replay_position import NEW_EVENTS, ReplayPosition
from streamer.salesforce.retained import LastEventMissing, RetainedMessages


class FeedState(Enum):
    """Subscription state of a channel in the current session."""

    WANTED = auto()
    ASKED = auto()
    SUBSCRIBED = auto()
    UNCONFIRMED = auto()
    FAILED = auto()


@dataclass(slots=True, kw_only=True)
class RepeatedRefusal:
    """Refusals in a row: their number, and the time of the first on the monotonic clock."""

    since: float
    times: int = 0


@dataclass(slots=True, kw_only=True)
class ChannelFeed:
    """Hands the batches of one channel to its consumer, one at a time.

    `read_at` is the time of its last batch or of its subscription, in epoch
    seconds. `begins` is true from a subscription to new events only until the first
    batch. `is_open` is true while its consumer waits for the rest of an answer.
    """

    channel: Channel
    position: ReplayPosition
    state: FeedState = FeedState.WANTED
    refusals_seen: RepeatedRefusal | None = None
    read_at: float = 0.0
    begins: bool = False
    is_open: bool = field(default=False, init=False)
    _retained: RetainedMessages | None = field(default=None, init=False)
    _offered: list[Batch] = field(default_factory=list, init=False)
    _is_held: bool = field(default=False, init=False)
    _error: StreamerError | None = field(default=None, init=False)
    _ready: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _settled: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    @property
    def path(self) -> str:
        """Path of the channel."""
        return self.channel.path

    @property
    def live(self) -> bool:
        """True while events of the current session belong to this feed."""
        return self.state in {FeedState.ASKED, FeedState.SUBSCRIBED}

    def ask(self) -> int:
        """Return the replay number for a subscription; from now on events belong to this feed."""
        self.state = FeedState.ASKED
        replay = self.position.replay()
        self._retained = self.position.retained.afresh() if self.position.retained else None
        self.begins = replay == NEW_EVENTS
        return replay

    def accept(self, now: float) -> None:
        """Note that Salesforce has accepted the subscription, at `now` in epoch seconds."""
        self.state, self.refusals_seen, self.read_at = FeedState.SUBSCRIBED, None, now
        self.position.subscribed(now)

    def release(self) -> None:
        """Forget the current session, which is over."""
        if self.state is not FeedState.FAILED:
            self.state = FeedState.WANTED

    def offer(
        self,
        messages: Sequence[JsonObject],
        unreadable: Sequence[Unreadable],
        now: float,
        *,
        more: bool,
        org_time: float | None = None,
    ) -> None:
        """Offer a batch to the consumer; `more` says that the answer continues.

        `now` is our time and `org_time` Salesforce's, in epoch seconds.

        The state is `WANTED` afterwards if the messages must be read again, in another session.
        """
        try:
            new = self._new(messages, unreadable)
        except LastEventMissing:
            self.position.decide_by_time()
            self.state = FeedState.WANTED
            self._settled.set()
            return
        if messages and not (new or unreadable or self.is_open):
            # The messages are skipped history; an empty batch would mean that no more history comes.
            self._settled.set()
            return
        self.read_at, self.begins, self.is_open = now, False, more
        retained = self._retained
        self._offered = [
            Batch(
                channel=self.channel,
                read_at=now,
                org_time=org_time,
                messages=new,
                unreadable=unreadable,
                more=more,
                place_lost=retained is not None and retained.told_lost(),
                unmarked_since=retained.told_unmarked() if retained is not None else None,
            )
        ]
        self._settled.clear()
        self._ready.set()

    async def settled(self) -> None:
        """Return when the consumer has asked for more than the offered batch, or has left."""
        await self._settled.wait()

    async def next(self) -> Batch:
        """Return the next batch and treat the one before it as done. Raises the error given to `fail`."""
        if self._is_held:
            self._is_held = False
            self._settled.set()
        await self._ready.wait()
        if self._error is not None:
            raise self._error
        self._ready.clear()
        self._is_held = True
        # Removed, so that an idle channel does not keep its last megabytes in memory.
        return self._offered.pop()

    def settle(self, checkpoint: Checkpoint) -> None:
        """Resume after `checkpoint`, which is in the log."""
        self.position = ReplayPosition.after(checkpoint)

    def fail(self, error: StreamerError) -> None:
        """End the consumer's iteration with `error`."""
        self.state, self._error = FeedState.FAILED, error
        self._ready.set()

    def close(self) -> None:
        """Release every task that waits for the consumer, which has left."""
        self.state = FeedState.FAILED
        self._settled.set()

    def _new(self, messages: Sequence[JsonObject], unreadable: Sequence[Unreadable]) -> Sequence[JsonObject]:
        if self._retained is None:
            return messages
        if not (messages or unreadable or self.is_open):
            self._retained.read_to_end()
        return self._retained.new(messages)
