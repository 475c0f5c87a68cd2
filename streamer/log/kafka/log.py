"""Event log in Kafka, which ingest and dispatch share."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from typing import Self

from streamer.clock import Clock
from streamer.errors import LogMisconfigured
from streamer.events import Channel, Checkpoint, ContinuityRecord, Entry, OrgId, Partition, SubscriberName
from streamer.log.continuity import by_id, has_id_in, is_open_in
from streamer.log.kafka.append.encoder import AppendEncoder, Checkpoints
from streamer.log.kafka.append.growing_append import KafkaAppend, SchemaWaits
from streamer.log.kafka.append.membership import Membership
from streamer.log.kafka.append.session import PartitionSession
from streamer.log.kafka.append.writer import PartitionWriter
from streamer.log.kafka.cluster.clients import Clients, Connectivity
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.control.continuity import read_continuity
from streamer.log.kafka.control.controls import KafkaControls
from streamer.log.kafka.control.processes import KafkaProcessRecords
from streamer.log.kafka.feed.context import LogContext
from streamer.log.kafka.feed.feed import follow
from streamer.log.kafka.feed.settled_events import settled_events
from streamer.log.kafka.history.history import KafkaHistory
from streamer.log.kafka.records.events import Traceparent
from streamer.log.kafka.schemas.codecs import SchemaReaders
from streamer.log.kafka.schemas.registry import SchemaRegistry
from streamer.log.kafka.states.states import KafkaStates
from streamer.log.kafka.topics.provisioner import TopicProvisioner
from streamer.observe.process import Pulses
from streamer.ports import Describer, Feed, StoredCheckpoint, Subscription
from streamer.settings import KafkaLogSettings


class KafkaLog:
    """EventLog, Ownership and ControlledLog on one Kafka cluster.

    Each channel belongs to one partition of the checkpoint topic. Each partition in
    use has a writer: one thread and one transactional producer. The producer fences
    off the producer of every other process.
    """

    def __init__(
        self,
        clients: Clients,
        topics: TopicProvisioner,
        pulses: Pulses,
        traceparent: Traceparent | None = None,
    ) -> None:
        """Use `open` instead, which prepares the topics first and closes every client at the end."""
        self._clients = clients
        self._topics = topics
        self._pulses = pulses
        self._connectivity = Connectivity(clients)
        self._checkpoints = Checkpoints(clients)
        self._encoder = AppendEncoder(clients, self._checkpoints, traceparent)
        self._schema_waits = SchemaWaits()
        self.controls = KafkaControls(clients, topics.admin, pulses)
        self.processes = KafkaProcessRecords(clients, topics)
        self.history = KafkaHistory(clients)
        self.states = KafkaStates(clients, topics)
        self._writers: dict[int, PartitionWriter] = {}
        self._membership: Membership | None = None
        self._has_left = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: KafkaLogSettings,
        clock: Clock,
        pulses: Pulses | None = None,
        *,
        traceparent: Traceparent | None = None,
        registry: SchemaRegistry | None = None,
    ) -> AsyncIterator[Self]:
        """Connect, create or check the topics, yield the log, and close every client at the end.

        `traceparent` returns the header `traceparent` of an event that is appended. The
        settings name the schema registry, unless `registry` replaces it.
        Raises `CredentialsRefused`, `LogMisconfigured` or `LogUnavailable` within
        10 s.
        """
        clients = Clients(settings=settings, clock=clock, schemas=SchemaReaders.of(settings, clock, registry))
        topics = TopicProvisioner(clients)
        executor = ThreadPoolExecutor(1, "kafka-topics")
        try:
            await asyncio.get_running_loop().run_in_executor(executor, topics.prepare)
        except BaseException:
            # Otherwise, the error's traceback would keep the client until the garbage collector
            # runs.
            topics.admin.close()
            raise
        finally:
            executor.shutdown(wait=False)
        log = cls(clients, topics, pulses or Pulses(clock), traceparent)
        reaching = asyncio.create_task(log._connectivity.run(), name="log.reach")
        try:
            yield log
        finally:
            reaching.cancel()
            await log.close()
            await asyncio.wait([reaching])

    @property
    def outage(self) -> str:
        """Reason why the log can neither append nor read at the moment; empty while a broker answers."""
        return self._connectivity.outage

    @property
    def storage(self) -> None:
        """`None`: the brokers watch their own disks."""
        return

    @property
    def schema_outage(self) -> str:
        """Reason why records wait for their schemas; empty while none waits."""
        refusal = self.states.schemas.refusal if self.states.schemas else ""
        return self._clients.schemas.health.outage or refusal

    @property
    def schema_failures(self) -> int:
        """Number of this process's requests that the schema registry did not answer."""
        return self._clients.schemas.health.failures

    def described_by(self, describer: Describer) -> AbstractContextManager[None]:
        """Take the descriptions of entities, which schemas are made of, from `describer` in the context."""
        schemas = self._encoder.schemas
        return nullcontext() if schemas is None else schemas.described_by(describer)

    @property
    def foreign_records(self) -> Mapping[str, int]:
        """Number of foreign records, by topic."""
        return self._clients.foreign.counts

    @property
    def aborted_transactions(self) -> int:
        """Number of this process's transactions that did not commit."""
        return self._clients.aborted.number

    @property
    def is_member(self) -> bool:
        """True while this process is a member of the group that shares the channels."""
        return self._membership is not None and self._membership.is_in

    async def checkpoint(self, channel: Channel) -> Checkpoint | None:
        """Return the last committed checkpoint of `channel`, after any open transaction was decided."""
        return await self._writer(self._checkpoints.partition_of(channel)).checkpoint(channel)

    async def known_orgs(self) -> frozenset[OrgId]:
        """Return the orgs that have a committed checkpoint."""
        return await asyncio.to_thread(self._known_orgs)

    async def stored_checkpoints(self) -> Sequence[StoredCheckpoint]:
        """Return the committed checkpoints, each with the process that owns its channel."""
        return await self.history.stored_checkpoints()

    async def appended_since(self, patterns: Sequence[str], at: float, /) -> int:
        """Return the highest number of events of these types that can have been appended since `at`."""
        return await self.history.appended_since(patterns, at)

    async def open_holes(self, channel: Channel) -> Sequence[ContinuityRecord]:
        """Return the open continuity records of `channel`."""
        return await asyncio.to_thread(
            read_continuity, self._clients, self._topics.admin, is_open_in(channel)
        )

    async def holes(self, ids: Collection[str]) -> Mapping[str, ContinuityRecord]:
        """Return the last state of each continuity record in `ids`."""
        return by_id(
            await asyncio.to_thread(read_continuity, self._clients, self._topics.admin, has_id_in(ids))
        )

    def begin(self, channel: Channel) -> KafkaAppend:
        """Return a new append to `channel`; one transaction commits it."""
        partition = self._checkpoints.partition_of(channel)
        return KafkaAppend(
            self._encoder, lambda append: self._writer(partition).append(append), self._schema_waits
        )

    async def owned(self, channels: Sequence[Channel]) -> AsyncGenerator[frozenset[Channel], None]:
        """Share `channels` with the other processes of this prefix.

        Before another process takes over a partition, the running append of the
        partition ends. This takes at most as long as an append can last.
        """
        if self._membership is not None:
            raise LogMisconfigured("owned() was called twice: call owned() only once")
        placed = {channel: self._checkpoints.partition_of(channel) for channel in channels}
        grace_s = self._clients.settings.append_deadline_s
        self._has_left = False
        self._membership = membership = Membership(self._clients, grace_s=grace_s, pulses=self._pulses)
        try:
            version, last = 0, None
            while True:
                share = await membership.share(after=version)
                mine = frozenset(channel for channel in placed if placed[channel] in share.partitions)
                if mine != last:
                    yield mine
                await self._let_go(self._writers.keys() - share.partitions)
                version, last = share.version, mine
                membership.settle(version)
        finally:
            # The next owner must find no running append, so no writer is opened after this.
            self._has_left = True
            await self._let_go(self._writers.keys())
            await membership.close()
            self._membership = None

    def follow(self, subscription: Subscription) -> AbstractAsyncContextManager[Feed]:
        """Open the feed of one subscriber."""
        log_context = LogContext(
            clients=self._clients, topics=self._topics, pulses=self._pulses, states=self.states
        )
        return follow(log_context, subscription)

    async def expect(self, subscribers: Collection[SubscriberName]) -> None:
        """Do nothing: Kafka's retention is independent of the subscribers."""

    def settled_events(
        self, subscription: Subscription, begin: Mapping[Partition, int]
    ) -> AsyncGenerator[Entry, None]:
        """Yield the settled events of a subscriber without joining the subscriber's group, and then end."""
        return settled_events(self._clients, self._topics.admin, subscription, begin)

    async def close(self) -> None:
        """Finish pending requests, close every producer, and leave the group."""
        await self._let_go(self._writers.keys())
        await asyncio.gather(self.controls.close(), self.processes.close())
        self.history.close()
        await asyncio.to_thread(self.states.close)
        if self._membership is not None:
            await self._membership.close()
        self._topics.admin.close()
        self._connectivity.close()

    def _known_orgs(self) -> frozenset[OrgId]:
        errors = KafkaErrors(self._clients.settings)
        topic = Names.of(self._clients.settings).checkpoints
        with errors.explained(doing="reading", subject=f"topic {topic}"):
            return self._checkpoints.orgs(errors)

    def _writer(self, partition: int) -> PartitionWriter:
        if partition not in self._writers:
            session = PartitionSession(partition, self._clients, self._checkpoints, self._mine)
            self._writers[partition] = PartitionWriter(
                f"kafka-writer-{partition}",
                session,
                self._encoder,
                self._topics,
                self._clients.settings,
                pulses=self._pulses,
            )
        return self._writers[partition]

    def _mine(self, partition: int) -> bool | None:
        if self._has_left:
            return False
        return None if self._membership is None else self._membership.holds(partition)

    async def _let_go(self, partitions: Collection[int]) -> None:
        closing = [self._writers.pop(partition) for partition in list(partitions)]
        await asyncio.gather(*(writer.close() for writer in closing))
