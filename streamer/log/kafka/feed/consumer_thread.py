"""Thread that keeps one subscriber a member of its consumer group."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from importlib.metadata import version
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamer import DISTRIBUTION
from streamer.errors import LogMisconfigured, LogUnavailable
from streamer.events import Entry, Partition, Start
from streamer.log.kafka.cluster.clients import largest_record, member_options
from streamer.log.kafka.cluster.errors import RETRY_LIMIT_S, KafkaErrors, RetryPolicy, is_denied
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.threads import conclude
from streamer.log.kafka.cluster.topic_naming import matching
from streamer.log.kafka.feed.buffer import FeedBuffer
from streamer.log.kafka.feed.context import ConsumerContext, LogContext
from streamer.log.kafka.feed.decoder import RecordDecoder
from streamer.log.kafka.feed.partition_reader import PartitionReader
from streamer.log.kafka.feed.rebalance import InitialOffsets, Rebalance
from streamer.log.kafka.feed.settled_events import Recorder
from streamer.log.kafka.parked_index import ParkedFetch
from streamer.log.kafka.parked_restoration import Restorations
from streamer.log.kafka.progress.assignment import AssignedPartitions
from streamer.log.kafka.progress.commits import Commits, OffsetCommitter
from streamer.log.kafka.progress.settler import KafkaSettler
from streamer.log.kafka.records.envelopes import StateEnvelope
from streamer.log.kafka.records.parked import ParkedTopic
from streamer.log.kafka.records.states import OVERHEAD_BYTES, StateEncoder
from streamer.log.kafka.states.restoration import StateRestorations
from streamer.log.kafka.states.writer import StateWriter
from streamer.observe.process import Pulse
from streamer.observe.service_thread import ServiceThread
from streamer.ports import Subscription

# Longest delay before the member notices a rebalance; the member notices a settlement at once.
_TURN_S = 0.05
# A commit costs as much as two deliveries. Events that finish within this time share one
# commit. After a crash, these events are delivered again, like the events in flight.
_COMMIT_S = 0.004
# Longest additional delay before the member notices the confirmation of a commit.
_CONFIRMATION_S = 0.001
_log = structlog.get_logger()

_PAUSE_S = 1.0
# The loop has at least this long, or a session, to process a revocation. A loop that is blocked
# for longer treats the ownership of its partitions as unconfirmed anyway.
_HAND_OVER_S = 3.0
_HEARTBEATS_A_SESSION = 6
# A rebalance normally ends within a session. If brokers refuse a member for longer, librdkafka
# has not noticed that the group has dropped the member.
_REFUSED_S = 10.0
_REFUSED_SESSIONS = 2

# An operator can override these options for all clients by `log.kafka.options`.
_TUNING = {
    "fetch.min.bytes": 1,
    # A newly added partition waits until the current fetch request ends.
    "fetch.wait.max.ms": 250,
    "fetch.error.backoff.ms": 100,
    # Pause before librdkafka refills a full queue; the default of 1 s starves a fast reader.
    "fetch.queue.backoff.ms": 20,
    "queued.max.messages.kbytes": 2048,
    "topic.metadata.refresh.interval.ms": 5_000,
}
_OURS = {
    "auto.offset.reset": "error",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "isolation.level": "read_committed",
}


class GroupMember:
    """Takes over and releases partitions as the group decides, and records progress.

    All work happens in the thread that calls `turn`, because a consumer blocks
    calls of other threads during a rebalance.
    """

    def __init__(
        self, consumer: Consumer, reader: PartitionReader, commits: Commits, context: ConsumerContext
    ) -> None:
        """Use `consumer`, which has not joined its group yet; the member sends its commits by `commits`.

        `reader` fetches the assigned partitions.
        """
        self._consumer = consumer
        self._reader = reader
        self._commits = commits
        self._context = context
        self._rebalance = Rebalance(consumer, reader, commits, context)
        self._offsets = OffsetCommitter(consumer=consumer, send=commits.send)

    def join(self, first: InitialOffsets) -> None:
        """Commit the initial offsets of a new subscriber, then join.

        Raises `KafkaException`, `LogUnavailable`, `LogMisconfigured`.
        """
        first.settle(self._consumer, self._commits, self._context.retry)
        self._rebalance.subscribe(first)

    def turn(self) -> None:
        """Do one turn: record the pending settlements, and process the group's events.

        Raises `KafkaException`, `LogUnavailable`, `LogMisconfigured`.
        """
        self._context.recorder.record(self._context.assigned, self._offsets)
        self._commits.give_up()
        self._rebalance.restore()
        self._rebalance.share_wait.report()
        while missing := self._reader.missing_offset():
            self._rebalance.go_on_after_hole(missing)
        self._check(self._consumer.poll(self._wait_s()))

    def _wait_s(self) -> float:
        """Wait for a settlement; return how many seconds to wait for the group afterwards."""
        if self._commits.are_waiting:
            # The loop settles nothing more before the confirmation, and then settles all
            # finished events at once.
            due_at = self._commits.sent_at + _COMMIT_S
            self._context.buffer.wait(due_at - self._context.clock.monotonic())
            return _CONFIRMATION_S
        if not self._context.restorations:
            self._context.buffer.wait_for_settlement(_TURN_S)
        # Restorations run in parallel and wait for their own records.
        return 0

    def _check(self, message: Message | None) -> None:
        if message is None or (error := message.error()) is None:
            return
        if error.fatal() or is_denied(error):
            raise KafkaException(error)
        if self._is_awaited(message, error):
            _log.debug("log.topic_awaited", subscriber=self._context.subscriber, reason=error.str())
            return
        # librdkafka retries on its own.
        _log.warning("log.troubled", subscriber=self._context.subscriber, reason=error.str())

    def _is_awaited(self, message: Message, error: KafkaError) -> bool:
        """Return whether `error` says only that no topic exists yet for an expression.

        The first event then creates such a topic.
        """
        expression = message.topic()
        if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART or expression is None:
            return False
        return not any(matching(self._context.assigned.known_topics, [expression]))


class ConsumerThread:
    """Runs a member of the subscriber's group, and replaces the member after a failure.

    The thread owns every client. The thread ends after `stop`, or after an error that
    needs an operator. Every later call of the feed raises this error.
    """

    def __init__(self, log_context: LogContext, subscription: Subscription, buffer: FeedBuffer) -> None:
        """Prepare; no I/O happens yet. Raises `LogMisconfigured`."""
        clients = self._clients = log_context.clients
        self._errors = KafkaErrors(clients.settings)
        self._subscriber = subscription.subscriber
        self._buffer = buffer
        self._new_decoder = partial(RecordDecoder, subscription, clients.clock, clients.schemas)
        self._first = _first_place(log_context, subscription)
        names = Names.of(clients.settings)
        self._excluded = names.parked_expression if subscription.after else names.internal_expressions
        self._pulses = log_context.pulses
        self._thread = ServiceThread(
            f"follow {subscription.subscriber}", self._serve, pulses=self._pulses, failed=self._fail
        )
        parked = ParkedTopic.of(clients.settings, self._subscriber)
        self._recall = None if subscription.states else ParkedFetch(clients, parked)
        retry = RetryPolicy(
            clock=clients.clock, limit_s=RETRY_LIMIT_S, wait=self._wait, is_over=lambda: buffer.closing
        )
        settler = KafkaSettler(
            clients,
            subscription.subscriber,
            receipts=subscription.receipts,
            states=_state_writer(log_context) if subscription.states else None,
        )
        self._context = ConsumerContext(
            subscriber=subscription.subscriber,
            buffer=buffer,
            assigned=AssignedPartitions(),
            settler=settler,
            recorder=Recorder(
                subscription.subscriber,
                buffer,
                settler,
                clients.clock,
                most_refused_s=max(_REFUSED_S, _REFUSED_SESSIONS * clients.settings.session_timeout_s),
            ),
            restorations=_restorations(log_context, subscription, retry),
            admin=log_context.topics.admin,
            clock=clients.clock,
            retry=retry,
            pulse=self._thread.pulse,
            number=itertools.count(1).__next__,
            hand_over_s=max(_HAND_OVER_S, clients.settings.session_timeout_s),
        )
        self._loop = asyncio.get_running_loop()
        self._joined: asyncio.Future[None] = self._loop.create_future()
        self._has_joined = False

    async def start(self) -> None:
        """Start the thread; return when it has committed the first offsets and is about to join the group."""
        self._thread.start()
        await self._joined

    async def recall(self, partition: Partition, offsets: Sequence[int]) -> list[Entry]:
        """Return the parked events among `offsets` of a partition; empty if the partition is not assigned."""
        places = self._context.assigned.parked(partition, offsets)
        return await self._recall.fetch(partition, places) if places and self._recall else []

    async def stop(self) -> None:
        """Leave the group and end the thread."""
        if self._recall is not None:
            self._recall.close()
        self._buffer.close()
        await self._thread.join()

    def _fail(self, error: Exception) -> None:
        conclude(self._joined, error)
        self._buffer.break_off(error)

    # On the thread.

    def _serve(self, pulse: Pulse) -> None:
        try:
            while not self._buffer.closing:
                self._be_a_member(pulse)
            self._buffer.break_off(LogUnavailable("the feed was closed"))
        finally:
            self._context.settler.close()

    def _be_a_member(self, pulse: Pulse) -> None:
        commits = Commits(self._clients.clock)
        configuration = self._configuration() | {"on_commit": commits.confirm}
        try:
            with (
                self._errors.explained(
                    doing="reading", subject=f"the topics of subscriber {self._subscriber}"
                ),
                closing(self._consumer(configuration, self._thread.name)) as consumer,
                closing(self._reader()) as reader,
            ):
                self._follow(consumer, reader, commits, pulse)
        except LogUnavailable as error:
            if not self._has_joined:
                raise
            self._begin_anew(error)
        finally:
            self._context.restorations.abandon()
            commits.give_up(all_of_them=True)

    def _reader(self) -> PartitionReader:
        return PartitionReader(
            consumer=self._consumer(self._reading_configuration(), f"read {self._subscriber}"),
            buffer=self._buffer,
            decoder=self._new_decoder(),
            errors=self._errors,
            clock=self._clients.clock,
            pulses=self._pulses,
        )

    def _consumer(self, configuration: Mapping[str, Any], name: str) -> Consumer:
        return self._clients.checked_consumer(self._errors, configuration, name=name)

    def _follow(self, consumer: Consumer, reader: PartitionReader, commits: Commits, pulse: Pulse) -> None:
        # This call comes first, because a look-up would wait until our own open transaction
        # times out.
        self._context.retry.call(self._context.settler.begin_anew)
        member = GroupMember(consumer, reader, commits, self._context)
        member.join(self._first)
        self._has_joined = True
        self._loop.call_soon_threadsafe(conclude, self._joined, None)
        while not self._buffer.closing:
            pulse.beat()
            member.turn()

    def _begin_anew(self, error: LogUnavailable) -> None:
        _log.warning("log.unavailable", subscriber=self._subscriber, reason=str(error))
        if held := frozenset(self._context.assigned):
            self._context.assigned.drop(held)
            self._buffer.revoke(held)
        self._buffer.fail(error)
        self._wait(_PAUSE_S)

    def _wait(self, timeout_s: float) -> None:
        self._thread.pulse.beat()
        self._buffer.wait(timeout_s)

    def _configuration(self) -> dict[str, Any]:
        settings = self._clients.settings
        names = Names.of(settings)
        others = str(settings.options.get("topic.blacklist", ""))
        return self._tuned() | {
            **member_options(
                settings, heartbeats=_HEARTBEATS_A_SESSION, hand_over_s=self._context.hand_over_s
            ),
            "group.id": names.dispatch_group(self._subscriber),
            # Streamer's own topics are excluded, even if they match the template of event topics.
            "topic.blacklist": ",".join(filter(None, [self._excluded, others])),
        }

    def _reading_configuration(self) -> dict[str, Any]:
        # The client requires a group id to assign partitions; it joins no group.
        return self._tuned() | {"group.id": Names.of(self._clients.settings).ingest_group}

    def _tuned(self) -> dict[str, Any]:
        options = self._clients.settings.options
        return {name: value for name, value in _TUNING.items() if name not in options} | _OURS


def _state_writer(log_context: LogContext) -> StateWriter:
    states = log_context.states
    settings = log_context.clients.settings
    encoder = StateEncoder(
        largest=largest_record(settings) - OVERHEAD_BYTES,
        schemas=states.schemas,
        envelope=StateEnvelope(
            form=settings.state_envelope, name=settings.prefix, version=version(DISTRIBUTION)
        ),
    )
    return StateWriter(log_context.clients, states, encoder)


def _restorations(
    log_context: LogContext, subscription: Subscription, retry: RetryPolicy
) -> Restorations | StateRestorations:
    clients, admin = log_context.clients, log_context.topics.admin
    if subscription.states:
        return StateRestorations(log_context.states, admin, retry)
    return Restorations(clients, admin, ParkedTopic.of(clients.settings, subscription.subscriber), retry)


def _first_place(log_context: LogContext, subscription: Subscription) -> InitialOffsets:
    names = Names.of(log_context.clients.settings)
    name, topics = subscription.subscriber, log_context.topics
    if subscription.after:
        expressions: tuple[str, ...] = (names.forwarded_expression(name),)
        forwarded = [name, *subscription.downstream]
    else:
        expressions = names.naming.expressions(subscription.patterns)
        forwarded = [*subscription.downstream]
    if not expressions:
        raise LogMisconfigured(
            f"`on` of subscriber {name} is {', '.join(subscription.patterns)}, but no type of event "
            "matches: use types such as salesforce.cdc.Account.updated"
        )

    def ensure(*, has_begun: bool) -> None:
        topics.ensure_forwarded(forwarded)
        if subscription.states:
            log_context.states.prepare(subscription.states)
        else:
            topics.ensure_parked(name, has_begun=has_begun)

    return InitialOffsets(
        # Events that were forwarded before the subscriber began also belong to it.
        start=Start.EARLIEST if subscription.after else subscription.start,
        topics=expressions,
        is_internal=(lambda _: False) if subscription.after else names.is_internal,
        marker=TopicPartition(names.dead_letters, 0, 0),
        ensure_topics=ensure,
    )
