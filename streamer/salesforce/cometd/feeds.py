"""Feeds of all channels that are read over one session."""

import asyncio

from streamer.clock import Clock
from streamer.errors import StreamerError
from streamer.events import Channel, Checkpoint, Start
from streamer.salesforce.cometd.answer import BayeuxResponse
from streamer.salesforce.cometd.feed import ChannelFeed, FeedState
from streamer.salesforce.cometd.replay_position import ReplayPosition

_VERIFY_EVERY_S = 60.0


class Feeds:
    """Registry of the feeds by path; hands answers over to them.

    `changed` is set whenever a feed was added or removed, or wants to be
    subscribed.
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
        """Add a feed; each channel has one consumer at a time."""
        if channel.path in self._feeds:
            raise RuntimeError(f"{channel} is being read already")
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
        """Forget the session, which is over; all feeds are subscribed again in the next one."""
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
        """Let the checkpoint's channel resume after it."""
        feed = self._feeds.get(checkpoint.channel.path)
        if feed is not None:
            feed.settle(checkpoint)

    async def hand_over(
        self, answer: BayeuxResponse, *, confirmed: bool, more: bool = False, org_time: float | None = None
    ) -> None:
        """Give each channel's consumer its part of `answer`; return when all have asked for the next.

        While `more` of the answer follows, each consumer has then taken its
        part in. After the end of the answer, each has it in the log.

        An answer `confirmed` by a successful connect proves that nothing is
        missing. Then consumers get an empty batch if no channel has events, and
        from time to time beside the traffic of others. A consumer of new events
        only gets one at once, because its position begins here. `org_time` is
        Salesforce's time in the answer, in epoch seconds.
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
            if messages or broken or (not more and (due or feed.is_open)):
                feed.offer(messages, broken, now, more=more, org_time=org_time)
                offered.append(feed)
        if any(feed.state is FeedState.WANTED for feed in offered):
            self.changed.set()
        for feed in offered:
            await feed.settled()

    async def end_answer(self) -> None:
        """Let consumers commit their part of an answer whose end was lost; return when they have."""
        now = self._clock.now()
        offered = [feed for feed in self._feeds.values() if feed.live and feed.is_open]
        for feed in offered:
            feed.offer((), (), now, more=False)
        for feed in offered:
            await feed.settled()


def _is_open(feed: ChannelFeed) -> bool:
    return feed.is_open
