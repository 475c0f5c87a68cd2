"""Reader of one channel, which runs one Subscribe stream after another."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, ClassVar

import structlog

from streamer.errors import ReplayIdRefused, RetryLater, Stop, SubscriptionRefused
from streamer.eventbus import FetchRequest, ReplayPreset
from streamer.events import (
    LONGEST_REPLAY_ID,
    Batch,
    Channel,
    Checkpoint,
    JsonObject,
    ReplayId,
    Start,
    Unreadable,
)
from streamer.salesforce.pubsub.errors import TOO_LARGE, CallEnded, unserved
from streamer.salesforce.pubsub.recovery import PubSubSession, StreamRecovery
from streamer.salesforce.pubsub.schemas import Messages, Readers, parts
from streamer.salesforce.pubsub.subscription import Credit, FetchedEvents, SubscribeStream
from streamer.salesforce.retained import LastEventMissing, RetainedMessages, StreamPosition, position_of
from streamer.salesforce.sessions import Reaction

_log = structlog.get_logger()

# In a backlog, answers follow each other faster than this. A pause ends the consumer's append, so that
# the append is committed while the next answer is on its way.
_PAUSE_S = 0.02
_LONGEST_APPEND_S = 0.25


@dataclass(slots=True, kw_only=True)
class Position(StreamPosition):
    """Position of one channel: a replay id, or the place at which the wanted events start.

    `dropped` is the replay id of the last dropped message, and `passed` is the replay
    id before `dropped`. The next stream resumes after `passed`, because split events
    share a replay id, and some events of `dropped` can still follow. A stream uses the
    `selection` that was current at its start, so later settlements do not change which
    messages it drops. A call of `subscribed` takes effect at the next stream: the
    current stream has begun, and brings only new messages.
    """

    over_cometd: ClassVar = False

    passed: ReplayId | None = None
    dropped: ReplayId | None = None
    selection: RetainedMessages | None = None

    @property
    def replay_id(self) -> ReplayId | None:
        """Replay id after which to read, or `None` to read from the start."""
        return self.passed or self.complete

    @property
    def is_open_to_new(self) -> bool:
        """True if only new events are wanted, so that no event before the next accepted stream is missing."""
        return self.start is Start.LATEST and self.replay_id is None

    def settled(self, checkpoint: Checkpoint) -> "Position":
        """Return the position after `checkpoint`, which is in the log; the current stream continues."""
        settled = Position.after(checkpoint)
        settled.selection = self.selection
        if settled.complete is None:
            settled.passed, settled.dropped = self.passed, self.dropped
        return settled

    def request(self, topic: str, credit: int) -> FetchRequest:
        """Return the first request of a stream that continues from this position."""
        self.selection = self.retained
        replay_id = self.replay_id
        if replay_id is not None:
            preset = ReplayPreset.CUSTOM
        else:
            preset = ReplayPreset.LATEST if self.start is Start.LATEST else ReplayPreset.EARLIEST
        return FetchRequest(
            topic_name=topic, replay_preset=preset, replay_id=replay_id or b"", num_requested=credit
        )

    def new(self, messages: Sequence[Any]) -> Sequence[Any]:
        """Return the `messages` that the log does not hold. Raises `LastEventMissing`."""
        if self.selection is None:
            return messages
        new = self.selection.new(messages)
        first = new[0] if new else None
        for message in messages:
            position = position_of(message)
            if message is first:
                # A new message can share the replay id of dropped messages, so read all of these again.
                self.passed = self.passed if position in {None, self.dropped} else self.dropped or self.passed
                self.dropped = None
                break
            if position is not None and position != self.dropped:
                self.passed, self.dropped = self.dropped or self.passed, position
        return new

    def read_to_end(self) -> None:
        """Record that Salesforce has no more messages at the moment. Raises `LastEventMissing`."""
        if self.selection is not None:
            self.selection.read_to_end()

    def told_lost(self) -> bool:
        """Return true if Salesforce no longer retains the last event in the log.

        Only the first call returns true.
        """
        return self.selection is not None and self.selection.told_lost()

    def told_unmarked(self) -> float | None:
        """Return the stream's start time if only time marks the position; later calls return `None`."""
        return None if self.selection is None else self.selection.told_unmarked()

    def begin_again(self, *, by_time: bool) -> None:
        """Read all retained messages again, because dropped messages or their replay ids are unreliable."""
        self.passed = self.dropped = None
        if self.retained is not None:
            self.retained = self.retained.by_time() if by_time else self.retained.afresh()


@dataclass(slots=True, kw_only=True)
class ChannelReader:
    """Reads one channel in the task of the channel's consumer.

    Messages that arrive while the consumer is busy form one batch. During a
    backlog, batches announce that `more` follow, so that the consumer appends many
    batches in one transaction. The reader grants credit when the consumer asks for
    more, so credit never exceeds what the log can accept.

    When a stream ends, the consumer first receives and commits all received
    messages. Then another stream begins at the position in the log.
    """

    channel: Channel
    position: Position
    session: PubSubSession
    messages: Messages
    recovery: StreamRecovery
    is_subscribed: bool = field(default=False, init=False)
    _append_began: float | None = field(default=None, init=False)
    _credit: Credit = field(init=False)

    def __post_init__(self) -> None:
        self._credit = Credit(self.session.options.most_credit)

    @property
    def path(self) -> str:
        """Path of the channel."""
        return self.channel.path

    def settle(self, checkpoint: Checkpoint) -> None:
        """Resume after `checkpoint`, which is in the log, when the stream ends."""
        self.position = self.position.settled(checkpoint)

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield the batches of the channel: see `streamer.ports.Source`."""
        while True:
            ended: CallEnded | None = None
            try:
                async with aclosing(self._stream()) as batches:
                    async for batch in batches:
                        yield batch
            except CallEnded as error:
                ended = error
            except LastEventMissing:
                self.position.begin_again(by_time=True)
            finally:
                self.is_subscribed = False
            if self._append_began is not None:
                yield self._batch()
            if ended is not None:
                await self._recover(ended)

    async def _stream(self) -> AsyncGenerator[Batch, None]:
        token = await self.recovery.begin()
        begins = self.position.is_open_to_new
        request = self.position.request(self.path, self._credit.most)
        async with self.session.connection.subscribed(request, token, self.session.observer) as subscription:
            await subscription.begin()
            self._accept()
            if begins and not subscription.has_arrived:
                # The position begins here, so the log must record this position.
                yield self._batch()
            is_admitted = False
            while True:
                try:
                    answers = await subscription.take(within_s=self._limit_s())
                except TimeoutError:
                    if self._append_began is None:
                        raise self._overdue() from None
                    yield self._batch()
                    continue
                if not is_admitted:
                    self.recovery.admitted()
                    is_admitted = True
                async with aclosing(self._read(answers, subscription)) as batches:
                    async for batch in batches:
                        yield batch
                await subscription.top_up(self._credit.most)

    async def _read(
        self, answers: Sequence[FetchedEvents], subscription: SubscribeStream
    ) -> AsyncGenerator[Batch, None]:
        """Yield the messages of `answers`, then the final keep-alive, if there is one."""
        events = [event for answer in answers for event in answer.events]
        self._credit.used(len(events))
        schema_ids = {event.event.schema_id for event in events}
        if self._append_began is not None and not self.messages.can_decode(schema_ids):
            # Messages that were already read must not wait for a schema.
            yield self._batch()
        keep_alive = None if answers[-1].events else answers[-1]
        more = keep_alive is None and subscription.is_exhausted and self._can_grow()
        if more:
            # The consumer asks for more before it commits, so request the next answer now.
            await subscription.top_up(self._credit.most)
        readers = await self._readers(schema_ids)
        left = len(events)
        for part in parts(events, readers, sum(answer.size for answer in answers)):
            left -= len(part)
            runs = list(_runs(self.position.new(self.messages.of(part, readers))))
            for number, (messages, unreadable) in enumerate(runs, start=1):
                yield self._batch(messages, unreadable, more=more or left > 0 or number < len(runs))
            if left:
                await asyncio.sleep(0)
        if keep_alive is not None:
            if self._append_began is not None:
                yield self._batch()
            self.position.read_to_end()
            yield self._batch(position=keep_alive.latest)

    async def _readers(self, schema_ids: Collection[str]) -> Readers:
        """Return the readers of schemas; while Salesforce can't send a schema, wait and keep the position."""
        has_failed = False
        while True:
            try:
                readers = await self.messages.readers(schema_ids)
            except RetryLater as error:
                has_failed = True
                delay = max(error.after_s or 0.0, self.recovery.delays.usual.next_s())
                _log.warning(
                    "schema.delayed", channel=str(self.channel), reason=str(error), tried_again_in_s=delay
                )
                await self.session.clock.sleep(delay)
            else:
                if has_failed:
                    self.recovery.delays.usual.reset()
                return readers

    def _accept(self) -> None:
        self.is_subscribed = True
        self.position.subscribed(self.session.clock.now())
        self.session.observer.handshaken()
        self.session.observer.subscribed(self.path)
        _log.info("channel.subscribed", channel=str(self.channel))

    def _batch(
        self,
        messages: Sequence[JsonObject] = (),
        unreadable: Sequence[Unreadable] = (),
        *,
        more: bool = False,
        position: bytes = b"",
    ) -> Batch:
        if not more:
            self._append_began = None
        elif self._append_began is None:
            self._append_began = self.session.clock.monotonic()
        now, token = self.session.clock.now(), self.recovery.token
        return Batch(
            channel=self.channel,
            read_at=now,
            # gRPC sends no time, so use the clock difference from the login.
            org_time=now + token.ahead_s if token is not None else None,
            messages=messages,
            unreadable=unreadable,
            more=more,
            position=ReplayId(position) if 0 < len(position) <= LONGEST_REPLAY_ID else None,
            place_lost=self.position.told_lost(),
            unmarked_since=self.position.told_unmarked(),
        )

    def _can_grow(self) -> bool:
        began = self._append_began
        return began is None or self.session.clock.monotonic() - began < _LONGEST_APPEND_S

    def _limit_s(self) -> float:
        return self.session.options.deadline_s if self._append_began is None else _PAUSE_S

    def _overdue(self) -> CallEnded:
        detail = f"Salesforce sent no event and no keep-alive for {self.session.options.deadline_s:g} s"
        return CallEnded("overdue", detail, reaction=Reaction.TRY_AGAIN)

    async def _recover(self, ended: CallEnded) -> None:
        if ended.reaction is Reaction.REFUSE_REPLAY_ID and self.position.passed is not None:
            # The refused id is not the checkpoint's, so the messages before it can be read again.
            self.position.begin_again(by_time=False)
        elif error := self._refusal(ended):
            self.session.observer.refused(self.path, ended.detail)
            _log.error("channel.refused", channel=str(self.channel), answer=ended.detail)
            raise error
        if ended.reason == TOO_LARGE:
            self._credit.lower()
        await self.recovery.wait(ended, self.channel)

    def _refusal(self, ended: CallEnded) -> Stop | None:
        """Return the error if an operator or the channel's policy must decide; otherwise `None`."""
        match ended.reaction:
            case Reaction.REFUSE_REPLAY_ID if self.position.complete is not None:
                return ReplayIdRefused(f"{self.path}: {ended.detail}", path=self.path)
            case Reaction.REFUSE_REPLAY_ID | Reaction.REFUSE_CHANNEL:
                return SubscriptionRefused(
                    f"Salesforce refused the channel {self.path} ({ended.detail}): check the "
                    "channel's name and the user's permissions",
                    path=self.path,
                )
            case Reaction.GIVE_UP:
                return unserved(ended)
            case _:
                return None


def _runs(
    messages: Sequence[JsonObject | Unreadable],
) -> Iterator[tuple[Sequence[JsonObject], Sequence[Unreadable]]]:
    """Yield readable and unreadable messages alternately, in their order."""
    run: list[JsonObject] = []
    for message in messages:
        if not isinstance(message, Unreadable):
            run.append(message)
            continue
        if run:
            yield run, ()
        yield (), (message,)
        run = []
    if run:
        yield run, ()
