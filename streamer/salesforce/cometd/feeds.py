"""Feeds of all channels that share one session; each feed has one consumer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from streamer.clock import Clock
from streamer.errors import StreamerError
from streamer.events import Batch, Channel, Checkpoint, Start, Unreadable
from streamer.salesforce.cometd.answer import NEW_EVENTS, BayeuxResponse, ReplayPosition
from streamer.salesforce.cometd.protocol import JsonObject
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
    """Number of consecutive refusals, and the time of the first on the monotonic clock."""

    since: float
    times: int = 0


@dataclass(slots=True, kw_only=True)
class BatchSlot:
    """Holds one batch, from the offer of the batch until the consumer asks for the next batch.

    `is_open` is true while the consumer waits for the rest of an answer.
    """

    is_open: bool = field(default=False, init=False)
    _offered: list[Batch] = field(default_factory=list, init=False)
    _is_held: bool = field(default=False, init=False)
    _error: StreamerError | None = field(default=None, init=False)
    _ready: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _settled: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def offer(self, batch: Batch) -> None:
        """Offer `batch` to the consumer."""
        self.is_open = batch.more
        self._offered = [batch]
        self._settled.clear()
        self._ready.set()

    def release(self) -> None:
        """Release every task that waits for the consumer, which gets no batch this time or has left."""
        self._settled.set()

    def fail(self, error: StreamerError) -> None:
        """End the consumer's iteration with `error`."""
        self._error = error
        self._ready.set()

    async def settled(self) -> None:
        """Return when the consumer has asked for the batch after the offered batch, or has left."""
        await self._settled.wait()

    async def next(self) -> Batch:
        """Return the next batch; the previous batch counts as done. Raises the error given to `fail`."""
        if self._is_held:
            self._is_held = False
            self._settled.set()
        await self._ready.wait()
        if self._error is not None:
            raise self._error
        self._ready.clear()
        self._is_held = True
        # Pop the batch, so that an idle channel does not keep it in memory.
        return self._offered.pop()


@dataclass(slots=True, kw_only=True)
class ChannelFeed:
    """Hands the batches of one channel to the channel's consumer, one batch at a time, in `slot`.

    `read_at` is the time of the last batch or of the subscription, in epoch
    seconds. If a subscription is for new events only, `begins` is true from the
    subscription until its first batch.
    """

    channel: Channel
    position: ReplayPosition
    state: FeedState = FeedState.WANTED
    refusals_seen: RepeatedRefusal | None = None
    read_at: float = 0.0
    begins: bool = False
    slot: BatchSlot = field(default_factory=BatchSlot, init=False)
    _retained: RetainedMessages | None = field(default=None, init=False)

    @property
    def path(self) -> str:
        """Path of the channel."""
        return self.channel.path

    @property
    def live(self) -> bool:
        """True while events of the current session belong to this feed."""
        return self.state in {FeedState.ASKED, FeedState.SUBSCRIBED}

    def ask(self) -> int:
        """Return the replay number for a subscription; from now on, the feed accepts events."""
        self.state = FeedState.ASKED
        replay = self.position.replay()
        self._retained = self.position.retained.afresh() if self.position.retained else None
        self.begins = replay == NEW_EVENTS
        return replay

    def accept(self, now: float) -> None:
        """Record that Salesforce accepted the subscription at `now`, in epoch seconds."""
        self.state, self.refusals_seen, self.read_at = FeedState.SUBSCRIBED, None, now
        self.position.subscribed(now)

    def release(self) -> None:
        """Forget the current session, because it has ended."""
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
        """Offer a batch to the consumer; `more` means that the answer continues.

        `now` is our time, and `org_time` is Salesforce's time, both in epoch
        seconds. If the messages must be read again in another session, the feed's
        state is `WANTED` afterwards.
        """
        try:
            new = self._new(messages, unreadable)
        except LastEventMissing:
            self.position.decide_by_time()
            self.state = FeedState.WANTED
            self.slot.release()
            return
        if messages and not (new or unreadable or self.slot.is_open):
            # All messages are old. An empty batch would mean that no more history follows.
            self.slot.release()
            return
        self.read_at, self.begins = now, False
        retained = self._retained
        self.slot.offer(
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
        )

    def settle(self, checkpoint: Checkpoint) -> None:
        """Resume after `checkpoint` in the next session; the log already has the checkpoint."""
        self.position = ReplayPosition.after(checkpoint)

    def fail(self, error: StreamerError) -> None:
        """End the consumer's iteration with `error`."""
        self.state = FeedState.FAILED
        self.slot.fail(error)

    def close(self) -> None:
        """Release every task that waits for the consumer, because the consumer has left."""
        self.state = FeedState.FAILED
        self.slot.release()

    def _new(self, messages: Sequence[JsonObject], unreadable: Sequence[Unreadable]) -> Sequence[JsonObject]:
        if self._retained is None:
            return messages
        if not (messages or unreadable or self.slot.is_open):
            self._retained.read_to_end()
        return self._retained.new(messages)


_VERIFY_EVERY_S = 60.0


class Feeds:
    """Registry of the feeds by path; distributes answers to them.

    `changed` is set when a feed is added, is removed, or needs a subscription.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._feeds: dict[str, ChannelFeed] = {}
        self.changed = asyncio.Event()

    @property
    def active(self) -> bool:
        """True while any feed has not failed."""
        return any(feed.state is not FeedState.FAILED for feed in self._feeds.values())

    @property
    def paths(self) -> frozenset[str]:
        """Paths of all feeds that have not failed."""
        return frozenset(feed.path for feed in self._feeds.values() if feed.state is not FeedState.FAILED)

    @property
    def subscribed(self) -> frozenset[str]:
        """Paths that Salesforce has accepted in the current session."""
        return frozenset(feed.path for feed in self._feeds.values() if feed.state is FeedState.SUBSCRIBED)

    @property
    def wanted(self) -> list[ChannelFeed]:
        """Feeds that the current session must subscribe."""
        return [feed for feed in self._feeds.values() if feed.state is FeedState.WANTED]

    def open(self, channel: Channel, after: Checkpoint | Start) -> ChannelFeed:
        """Add a feed. Raises `RuntimeError` if the channel already has a consumer."""
        if channel.path in self._feeds:
            raise RuntimeError(f"the channel {channel} already has a consumer in this process")
        feed = ChannelFeed(channel=channel, position=ReplayPosition.after(after))
        self._feeds[channel.path] = feed
        self.changed.set()
        return feed

    def close(self, feed: ChannelFeed) -> None:
        """Remove a feed whose consumer has left."""
        feed.close()
        del self._feeds[feed.path]
        self.changed.set()

    def want(self, feed: ChannelFeed) -> None:
        """Subscribe a postponed feed."""
        feed.state = FeedState.WANTED
        self.changed.set()

    def release(self) -> None:
        """Forget the ended session; the next session subscribes all feeds again."""
        for feed in self._feeds.values():
            feed.release()

    def fail(self, error: StreamerError) -> None:
        """End every consumer's iteration with `error`."""
        for feed in self._feeds.values():
            feed.fail(error)

    async def until_active(self) -> None:
        """Wait until a channel is read."""
        while not self.active:
            self.changed.clear()
            await self.changed.wait()

    def settle(self, checkpoint: Checkpoint) -> None:
        """Make the checkpoint's channel resume after the checkpoint."""
        feed = self._feeds.get(checkpoint.channel.path)
        if feed is not None:
            feed.settle(checkpoint)

    async def hand_over(
        self, answer: BayeuxResponse, *, confirmed: bool, more: bool = False, org_time: float | None = None
    ) -> None:
        """Give each consumer its channel's part of `answer`; return when all consumers have asked for more.

        If `more` of the answer follows, every consumer has then accepted its part.
        At the end of the answer, the parts of all consumers are then in the log.

        `confirmed` means that a successful connect proves the answer complete.
        After a confirmed answer without events, every consumer receives an empty
        batch. If only other channels have events, a consumer receives an empty
        batch from time to time. A consumer of new events only receives its first
        empty batch at once, because the channel's position begins with this answer.
        `org_time` is Salesforce's time in the answer, in epoch seconds.
        """
        live = {path: feed for path, feed in self._feeds.items() if feed.live}
        unreadable = answer.unreadable_of(sorted(live))
        events = {path: found for path in live if (found := answer.events_of(path))}
        idle = not (unreadable or events or any(map(_is_open, live.values())))
        now = self._clock.now()
        offered = []
        for path, feed in live.items():
            messages, broken = events.get(path, ()), unreadable.get(path, ())
            due = confirmed and (idle or now >= feed.read_at + _VERIFY_EVERY_S)
            due = feed.state is FeedState.SUBSCRIBED and (due or feed.begins)
            if messages or broken or (not more and (due or feed.slot.is_open)):
                feed.offer(messages, broken, now, more=more, org_time=org_time)
                offered.append(feed)
        if any(feed.state is FeedState.WANTED for feed in offered):
            self.changed.set()
        for feed in offered:
            await feed.slot.settled()

    async def end_answer(self) -> None:
        """Let consumers commit their parts of an incomplete answer; return when all parts are committed."""
        now = self._clock.now()
        offered = [feed for feed in self._feeds.values() if feed.live and feed.slot.is_open]
        for feed in offered:
            feed.offer((), (), now, more=False)
        for feed in offered:
            await feed.slot.settled()


def _is_open(feed: ChannelFeed) -> bool:
    return feed.slot.is_open
