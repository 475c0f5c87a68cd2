"""A partition's session handles transactions that are refused or fenced off."""

import pytest

from streamer.clock import SystemClock
from streamer.errors import Fenced, LogUnavailable
from streamer.log.kafka.append.encoder import Checkpoints, CommittedCheckpoints
from streamer.log.kafka.append.session import PartitionSession
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.log import KafkaLog
from streamer.log.kafka.topics.provisioner import TopicProvisioner
from streamer.settings import KafkaLogSettings
from tests.contracts.values import CHANGES, a_checkpoint, an_append, an_event, append_to
from tests.integration.kafka.topics import ids, own_settings


@pytest.fixture
def settings(kafka: str) -> KafkaLogSettings:
    """Settings whose topics are there."""
    settings = own_settings(kafka)
    TopicProvisioner(Clients(settings=settings)).prepare()
    return settings


def a_session(settings: KafkaLogSettings, group: set[int]) -> PartitionSession:
    """Return a session of a partition that is ours for as long as it is in `group`."""
    clients = Clients(settings=settings)
    checkpoints = Checkpoints(clients)
    partition = checkpoints.partition_of(CHANGES)
    group.add(partition)
    session = PartitionSession(partition, clients, checkpoints, group.__contains__)
    session.committed(CHANGES)
    return session


def write(settings: KafkaLogSettings, session: PartitionSession, at: int) -> None:
    """Move the checkpoint."""
    record = Checkpoints(Clients(settings=settings)).record(a_checkpoint(at))
    session.write([record], {CHANGES: a_checkpoint(at)})


def test_fenced_session_that_is_still_ours_comes_back_later_each_time(settings: KafkaLogSettings) -> None:
    """Two that both believe to be the owner must not fence each other as fast as they can."""
    session = a_session(settings, set())
    delays: list[float | None] = []
    for _ in range(3):
        a_session(settings, set()).close()
        with pytest.raises(LogUnavailable) as raised:
            write(settings, session, at=1)
        delays.append(raised.value.after_s)
        session.committed(CHANGES)
    write(settings, session, at=1)

    assert delays == [0.25, 0.5, 1.0]
    assert session.committed(CHANGES) == a_checkpoint(1)
    session.close()


def test_former_owner_writes_nothing_behind_what_the_next_one_has_read(settings: KafkaLogSettings) -> None:
    """It wakes up just when the checkpoint was read, and has not heard yet that it is one no more."""
    former = a_session(settings, set())
    write(settings, former, at=1)

    class Disturbed(Checkpoints):
        """Lets the former owner write as soon as it has read."""

        def read(self, partition: int, errors: KafkaErrors, deadline: float) -> CommittedCheckpoints:
            """Read, and be late."""
            found = super().read(partition, errors, deadline)
            with pytest.raises(LogUnavailable, match="broker ended the transaction"):
                write(settings, former, at=2)
            return found

    clients = Clients(settings=settings)
    disturbed = Disturbed(clients)
    partition = disturbed.partition_of(CHANGES)
    heir = PartitionSession(partition, clients, disturbed, {partition}.__contains__)

    assert heir.committed(CHANGES) == a_checkpoint(1)
    former.close()
    heir.close()


def test_fenced_session_that_is_not_ours_any_more_lets_go(settings: KafkaLogSettings) -> None:
    """The group has given the partition to another process: it is not taken back."""
    group: set[int] = set()
    session = a_session(settings, group)
    heir = a_session(settings, set())
    group.clear()

    with pytest.raises(Fenced, match="another process owns partition"):
        write(settings, session, at=1)
    with pytest.raises(Fenced, match="now belongs to another process"):
        session.committed(CHANGES)

    write(settings, heir, at=2)
    heir.close()


async def test_queue_that_the_operator_bounded_is_waited_for(kafka: str) -> None:
    """A transaction may be larger than librdkafka is allowed to hold at once."""
    settings = own_settings(kafka, options={"queue.buffering.max.messages": 5})
    events = [an_event(f"e{n}") for n in range(20)]
    async with KafkaLog.open(settings, SystemClock()) as log:
        await append_to(log, an_append(*events))

    written = await ids(kafka, Names.of(settings).event_topic(events[0].type))
    assert sorted(written) == sorted(event.id for event in events)
