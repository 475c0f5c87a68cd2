"""Source of events over the Streaming API: one session for all channels of an org."""

import asyncio
import random as system_random
from collections.abc import AsyncGenerator, Callable, Mapping
from types import TracebackType
from typing import Self

import structlog

from streamer.clock import Clock
from streamer.errors import ConfigurationError, RetryLater, Stop
from streamer.events import Batch, Channel, Checkpoint, Start
from streamer.salesforce.auth.tokens import AccessToken, Tokens
from streamer.salesforce.cometd import protocol
from streamer.salesforce.cometd.answer import BayeuxResponse
from streamer.salesforce.cometd.feeds import Feeds
from streamer.salesforce.cometd.session import BayeuxOptions, BayeuxSession, SessionLost
from streamer.salesforce.cometd.subscribing import Subscribing
from streamer.salesforce.sessions import STEADY_S, NullObserver, Reaction, RecoveryDelays, SessionObserver

_log = structlog.get_logger()

_DEFAULTS = BayeuxOptions()


class CometdSource:
    """Reads channels over the Streaming API. Enter the source before you read, and leave it afterwards.

    All channels share one session, because Salesforce limits sessions. An
    answer's events go to the consumers of their channels at once. The source
    sends the next connect when all consumers have asked for more, because the
    whole answer is then in the log. If consumers take longer than 40 s,
    Salesforce ends the session; each channel then resumes at its position in
    the log.

    Salesforce counts an event as delivered once the server has written it. So
    an answer that did not arrive whole always ends the session: only a new
    subscription from the positions in the log delivers its events again.
    """

    def __init__(
        self,
        tokens: Tokens,
        clock: Clock,
        *,
        options: BayeuxOptions = _DEFAULTS,
        observer: SessionObserver | None = None,
        random: Callable[[], float] = system_random.random,
    ) -> None:
        """Read the org of `tokens`; `random` returns numbers in [0, 1) for the jitter."""
        self._tokens = tokens
        self._clock = clock
        self._options = options
        self._observer = observer or NullObserver()
        self._feeds = Feeds(clock)
        self._owner = asyncio.TaskGroup()
        self._subscribing = Subscribing(
            self._feeds,
            clock,
            self._observer,
            random=random,
            spawn=lambda waiting: self._tasks.create_task(waiting, name="cometd retry"),
        )
        self._delays = RecoveryDelays(random)
        self._overdue = 0
        self.last_answer_at: float | None = None
        """Time at which Salesforce last confirmed the session, in epoch seconds."""

    @property
    def subscribed(self) -> frozenset[str]:
        """Paths that Salesforce has accepted in the current session."""
        return self._feeds.subscribed

    @property
    def overdue(self) -> Mapping[str, int]:
        """Number of consecutive sessions without a timely answer to a connect, by path.

        Paths with 0 are absent.
        """
        return dict.fromkeys(self._feeds.paths, self._overdue) if self._overdue else {}

    async def __aenter__(self) -> Self:
        """Start the reader, which connects to Salesforce while any channel is read."""
        await self._owner.__aenter__()
        self._reader = self._owner.create_task(self._run(), name="cometd reader")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the reader and end the session."""
        self._reader.cancel()
        if kind is asyncio.CancelledError:
            await self._owner.__aexit__(kind, error, trace)
        else:
            # The reader did not raise this error: it propagates unchanged, outside of an exception group.
            await self._owner.__aexit__(None, None, None)

    async def batches(self, channel: Channel, *, after: Checkpoint | Start) -> AsyncGenerator[Batch, None]:
        """Yield the batches of `channel` after `after`, the oldest first: see `streamer.ports.Source`."""
        feed = self._feeds.open(channel, after)
        try:
            while True:
                yield await feed.slot.next()
        finally:
            self._feeds.close(feed)

    def settle(self, checkpoint: Checkpoint, /) -> None:
        """Resume after `checkpoint`, which is in the log, if the session is lost."""
        self._feeds.settle(checkpoint)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as self._tasks:
            await self._read()

    async def _read(self) -> None:
        while True:
            await self._feeds.until_active()
            try:
                await self._live()
            except RetryLater as error:
                delay = max(error.after_s or 0.0, self._delays.login.next_s())
                _log.warning("session.delayed", reason=str(error), tried_again_in_s=delay)
                await self._clock.sleep(delay)
            except Stop as error:
                _log.error("session.refused", reason=str(error))
                self._feeds.fail(error)

    async def _live(self) -> None:
        token = await self._tokens.token()
        began = self._clock.monotonic()
        try:
            async with BayeuxSession(token, self._clock, self._options) as session:
                await session.handshake()
                self._observer.handshaken()
                await self._subscribing.bring_up_to_date(session, held=False)
                while self._feeds.active:
                    await self._poll(session)
        except SessionLost as lost:
            self._feeds.release()
            if self._clock.monotonic() - began >= STEADY_S:
                self._delays.usual.reset()
            await self._recover(lost, token)
        finally:
            self._feeds.release()

    async def _poll(self, session: BayeuxSession) -> None:
        answer = await self._connected(session)
        if answer is None:
            return
        while answer.rest:
            # The complete parts of an answer count even if its end is missing.
            self._observer.answered(answer.count, answer.size)
            await self._feeds.hand_over(answer, confirmed=False, more=True)
            # A part without events waits for no consumer, so yield to the loop here.
            await asyncio.sleep(0)
            try:
                answer = await session.following(answer)
            except SessionLost:
                await self._feeds.end_answer()
                raise
        confirmed = any(reply.get("successful") for reply in answer.replies.get(protocol.CONNECT, ()))
        if confirmed:
            self.last_answer_at = self._clock.now()
        self._observer.answered(answer.count, answer.size)
        # If the reply in an answer ends the session, the answer's events still count as delivered. The server
        # answers the first connect at once, whether or not there are events, so the first answer proves
        # nothing.
        confirmed = confirmed and session.connects > 1
        await self._feeds.hand_over(answer, confirmed=confirmed, org_time=session.org_time)
        await self._follow(session, answer)
        if self._feeds.changed.is_set():
            await self._subscribing.bring_up_to_date(session, held=False)

    async def _connected(self, session: BayeuxSession) -> BayeuxResponse | None:
        """Send one connect, and return its answer; return `None` as soon as no feed is left.

        Until the answer arrives, new feeds are subscribed and closed feeds are
        unsubscribed.
        """
        connect = self._tasks.create_task(_outcome(session), name="cometd connect")
        try:
            while await self._interrupted(connect):
                await self._subscribing.bring_up_to_date(session, held=True)
                if not self._feeds.active:
                    return None
        finally:
            connect.cancel()
            await asyncio.wait([connect])
        outcome = connect.result()
        if isinstance(outcome, SessionLost):
            raise outcome
        return outcome

    async def _interrupted(self, connect: asyncio.Task[BayeuxResponse | SessionLost]) -> bool:
        changed = self._tasks.create_task(self._feeds.changed.wait(), name="cometd channels")
        try:
            await asyncio.wait([connect, changed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        return not connect.done()

    async def _follow(self, session: BayeuxSession, answer: BayeuxResponse) -> None:
        if protocol.DISCONNECT in answer.replies:
            # Since v64, servers move clients to another server like this, even
            # together with a successful connect.
            detail = "the server ended the session"
            raise SessionLost("server_disconnect", detail, reaction=Reaction.HANDSHAKE)
        reply = session.reply(answer, protocol.CONNECT)
        again = session.advice.reconnect == "retry"
        if not reply.get("successful"):
            if not again or protocol.reaction(reply) is not Reaction.TRY_AGAIN:
                raise SessionLost.by(reply)
            await self._clock.sleep(self._delays.usual.next_s())
        elif not again:
            detail = f"the server's advice is reconnect={session.advice.reconnect}"
            raise SessionLost("advised", detail, reaction=Reaction.HANDSHAKE)
        else:
            self._delays.admitted()
            if session.connects > 1:
                # The server answers the first connect at once, so it does not prove a stable connection.
                self._delays.usual.reset()
                self._overdue = 0
        if session.advice.interval_s:
            await self._clock.sleep(session.advice.interval_s)

    async def _recover(self, lost: SessionLost, token: AccessToken) -> None:
        self._observer.lost(lost.reason)
        if lost.reason == "overdue":
            self._overdue += 1
            self._observer.overdue()
        if lost.reaction is Reaction.GIVE_UP:
            raise ConfigurationError(
                f"Salesforce's CometD API does not serve Streamer ({lost}): check org.api_version"
            )
        if lost.reaction is Reaction.RENEW_TOKEN:
            await self._tokens.refreshed(token)
        # If this process ended the session, no delay is needed.
        delay = 0.0 if lost.polite else self._delays.after(lost.reaction).next_s()
        log = _log.info if lost.reaction is Reaction.HANDSHAKE else _log.warning
        log("session.lost", reason=lost.reason, detail=str(lost), tried_again_in_s=delay)
        await self._clock.sleep(delay)


async def _outcome(session: BayeuxSession) -> BayeuxResponse | SessionLost:
    # A lost session is a result for the reader, not a failure of the task group.
    try:
        return await session.connect()
    except SessionLost as lost:
        return lost
