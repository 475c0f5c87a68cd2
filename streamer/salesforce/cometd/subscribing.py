"""Subscribes a session to the channels that are read, and unsubscribes the other channels."""

from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import structlog

from streamer.backoff import Backoff, full_jitter
from streamer.clock import Clock
from streamer.errors import ReplayIdRefused, Stop, SubscriptionRefused
from streamer.salesforce.cometd import protocol
from streamer.salesforce.cometd.answer import BayeuxResponse
from streamer.salesforce.cometd.feeds import ChannelFeed, Feeds, FeedState, RepeatedRefusal
from streamer.salesforce.cometd.protocol import JsonObject
from streamer.salesforce.cometd.session import BayeuxSession, SessionLost
from streamer.salesforce.sessions import Reaction, SessionObserver

_log = structlog.get_logger()

_UNCONFIRMED_TIMES = 3
_UNCONFIRMED_S = 60.0

Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Subscribing:
    """Subscribes and unsubscribes channels, and handles Salesforce's replies.

    Every channel is subscribed in the end, or the channel's consumer gets the
    reason for the refusal. Some refusals can mean a wrong name or a lost session.
    Such a refusal is final only after three new sessions have repeated it over at
    least a minute.
    """

    def __init__(
        self,
        feeds: Feeds,
        clock: Clock,
        observer: SessionObserver,
        *,
        random: Callable[[], float],
        spawn: Spawn,
    ) -> None:
        """Serve `feeds`; `spawn` starts tasks that subscribe again after a delay."""
        self._feeds = feeds
        self._clock = clock
        self._observer = observer
        self._backoff = Backoff(first_s=2.0, limit_s=30.0, jitter=full_jitter(random))
        self._spawn = spawn

    async def bring_up_to_date(self, session: BayeuxSession, *, held: bool) -> None:
        """Unsubscribe channels without a consumer, and subscribe new channels.

        `held` is true while the server holds a connect. Raises `SessionLost` if
        this session can't change the subscriptions.
        """
        self._feeds.changed.clear()
        gone = session.subscribed - self._feeds.paths
        async with aclosing(session.unsubscribe(gone)) as answers:
            async for answer in answers:
                await self._take(session, answer, held=held)
        wanted = self._feeds.wanted
        again = sorted(feed.path for feed in wanted if feed.path in session.used)
        if again:
            # Events of the earlier subscription can still arrive. They would be
            # ahead of the position of the new subscription.
            detail = (
                f"the session must end, because Streamer must read {', '.join(again)} from another position"
            )
            raise SessionLost("subscribed_again", detail, reaction=Reaction.HANDSHAKE, polite=True)
        if wanted:
            await self._subscribe(session, wanted, held=held)

    async def _subscribe(self, session: BayeuxSession, wanted: list[ChannelFeed], *, held: bool) -> None:
        feeds = {feed.path: feed for feed in wanted}
        replay = {feed.path: feed.ask() for feed in wanted}
        losses: list[SessionLost] = []
        async with aclosing(session.subscribe(replay)) as answers:
            async for answer, replies in answers:
                await self._take(session, answer, held=held)
                for path, reply in replies.items():
                    loss = self._judge(session, feeds[path], reply)
                    losses += [loss] if loss else []
        if losses:
            raise losses[0]

    async def _take(self, session: BayeuxSession, answer: BayeuxResponse, *, held: bool) -> None:
        self._observer.answered(answer.count, answer.size)
        if held and answer.count:
            # The held connect can return earlier or later events.
            detail = (
                "events arrived while a connect request was waiting, so the order of the events is not known"
            )
            raise SessionLost("overtaken", detail, reaction=Reaction.HANDSHAKE, polite=True)
        await self._feeds.hand_over(answer, confirmed=False, org_time=session.org_time)

    def _judge(
        self, session: BayeuxSession, feed: ChannelFeed, reply: JsonObject | None
    ) -> SessionLost | None:
        if feed.state is not FeedState.ASKED:
            return None
        if reply is not None and reply.get("successful"):
            self._accept(feed)
            return None
        session.subscribed.discard(feed.path)
        reply = reply or {"channel": protocol.SUBSCRIBE, "error": "no reply"}
        said = "; ".join(protocol.causes(reply))[:500] or "no cause given"
        match protocol.reaction(reply):
            case Reaction.REFUSE_REPLAY_ID:
                session.used.discard(feed.path)
                self._refuse(feed, ReplayIdRefused(f"{feed.path}: {said}", path=feed.path), said)
            case Reaction.REFUSE_CHANNEL:
                session.used.discard(feed.path)
                self._refuse(feed, _refusal(feed, said), said)
            case Reaction.RETRY_CHANNEL if session.connects:
                return SessionLost(
                    "doubted", f"{feed.path}: {said}", reaction=Reaction.HANDSHAKE, polite=True
                )
            case Reaction.RETRY_CHANNEL:
                self._retry_later(feed, said)
            case _:
                return SessionLost.by(reply)
        return None

    def _accept(self, feed: ChannelFeed) -> None:
        feed.accept(self._clock.now())
        self._observer.subscribed(feed.path)
        _log.info("channel.subscribed", channel=str(feed.channel))

    def _refuse(self, feed: ChannelFeed, error: Stop, said: str) -> None:
        feed.fail(error)
        self._observer.refused(feed.path, said)
        _log.error("channel.refused", channel=str(feed.channel), answer=said)

    def _retry_later(self, feed: ChannelFeed, said: str) -> None:
        refusals_seen = feed.refusals_seen = feed.refusals_seen or RepeatedRefusal(
            since=self._clock.monotonic()
        )
        refusals_seen.times += 1
        if (
            refusals_seen.times >= _UNCONFIRMED_TIMES
            and self._clock.monotonic() >= refusals_seen.since + _UNCONFIRMED_S
        ):
            self._refuse(feed, _refusal(feed, said), said)
            return
        feed.state = FeedState.UNCONFIRMED
        delay = self._backoff.delay_s(refusals_seen.times)
        _log.warning("channel.doubted", channel=str(feed.channel), answer=said, tried_again_in_s=delay)
        self._spawn(self._reconsider(feed, delay))

    async def _reconsider(self, feed: ChannelFeed, delay: float) -> None:
        await self._clock.sleep(delay)
        if feed.state is FeedState.UNCONFIRMED:
            self._feeds.want(feed)


def _refusal(feed: ChannelFeed, said: str) -> SubscriptionRefused:
    return SubscriptionRefused(
        (
            f"Salesforce refused the channel {feed.path} ({said}): check the channel's name and the "
            "user's permissions"
        ),
        path=feed.path,
    )
