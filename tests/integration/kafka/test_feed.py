"""A subscriber's position in a real Kafka, beyond the contract suite."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from structlog.testing import capture_logs

from streamer.errors import LogUnavailable
from streamer.events import Partition, SettledOffsets, Stage, Start
from streamer.log.kafka.cluster import clients
from streamer.log.kafka.cluster.broker_check import CheckedConsumer
from streamer.log.kafka.feed.partition_reader import MissingOffset
from streamer.log.kafka.feed.rebalance import Rebalance
from streamer.log.kafka.progress.commits import Commits
from streamer.ports import Recorded, Settlement
from tests.contracts.follower import Follower
from tests.contracts.values import a_dead_letter, an_event
from tests.integration.kafka.cluster import Cluster
from tests.waiting import limited, until

_DEADLINE_S = 60.0


@pytest.fixture
def cluster(kafka: str) -> Cluster:
    """A cluster with nothing of ours in it."""
    return Cluster(kafka)


async def test_topic_that_appears_later_is_read_from_its_first_event(cluster: Cluster) -> None:
    """A subscriber that starts at the latest misses nothing of a topic that was not there."""
    async with cluster.following("salesforce.cdc.Account.*", start=Start.LATEST) as follower:
        cluster.create_for()
        cluster.write(an_event(1), an_event(2))

        assert await follower.read_until("2") == ["1", "2"]


async def test_topic_that_no_event_has_created_yet_is_no_trouble(cluster: Cluster) -> None:
    """A fresh start warns of nothing, but says on request what it waits for."""
    with capture_logs() as lines:
        async with cluster.following("salesforce.cdc.Account.*") as follower:
            await until_logged(lines, "log.topic_awaited")
            cluster.create_for()
            cluster.write(an_event(1))
            await follower.read_until("1")

    assert {line["log_level"] for line in lines if line["event"] == "log.topic_awaited"} == {"debug"}
    assert [line for line in lines if line["log_level"] == "warning"] == []


async def test_topic_that_vanishes_is_told(cluster: Cluster) -> None:
    """It was there, so somebody has deleted it."""
    topic = cluster.create_for()
    cluster.write(an_event(1))
    with capture_logs() as lines:
        async with cluster.following("salesforce.cdc.Account.*") as follower:
            await follower.read_until("1")
            cluster.admin.delete_topics([topic])[topic].result()
            told = await until_logged(lines, "log.troubled", "Subscribed topic not available")

    assert told["log_level"] == "warning"


async def until_logged(lines: Sequence[Mapping[str, Any]], event: str, reason: str = "") -> Mapping[str, Any]:
    """Return the line of `event` whose reason contains `reason`."""

    def there() -> Mapping[str, Any] | None:
        wanted = (line for line in lines if line["event"] == event and reason in line["reason"])
        return next(wanted, None)

    found: Mapping[str, Any] = await until(there)
    return found


async def test_partition_that_is_added_is_read_from_its_first_event(cluster: Cluster) -> None:
    """Growing a topic loses nothing."""
    topic = cluster.create_for()
    cluster.write(an_event("old"))
    async with cluster.following(start=Start.LATEST) as follower:
        await until_assigned(follower, 1)
        cluster.grow(topic, 2)
        cluster.write(an_event("first"), partition=1)

        assert await follower.read_until("first") == ["first"]


async def test_partitions_that_exist_begin_at_the_latest(cluster: Cluster) -> None:
    """Events from before a subscriber was first seen are left out, whenever it begins to read."""
    cluster.create_for()
    cluster.write(an_event("old"))
    async with cluster.following(start=Start.LATEST) as follower:
        cluster.write(an_event("new"))

        assert await follower.read_until("new") == ["new"]


async def test_start_at_a_time_goes_by_the_times_of_the_records(cluster: Cluster) -> None:
    """A subscriber begins with the first record that is not older than the time it asks for."""
    cluster.create_for(partitions=2)
    for hour in range(3):
        cluster.write(an_event(hour), at_ms=1_700_000_000_000 + hour * 3_600_000)
    async with cluster.following(start=datetime.fromtimestamp(1_700_003_600, UTC)) as follower:
        cluster.write(an_event("none that late"), partition=1)

        assert sorted(await follower.read_until("2", "none that late")) == ["1", "2", "none that late"]


async def test_subscriber_that_saw_no_topic_has_begun_all_the_same(cluster: Cluster) -> None:
    """Events that arrive while a known subscriber is away still count as new for it."""
    async with cluster.following(start=Start.LATEST):
        pass
    cluster.create_for()
    cluster.write(an_event("while away"))
    async with cluster.following(start=Start.LATEST) as follower:
        assert await follower.read_until("while away") == ["while away"]


async def test_committed_offset_reaches_the_end_of_the_log(cluster: Cluster) -> None:
    """The records that end transactions are passed as well, so a subscriber at rest has no lag."""
    topic = cluster.create_for()
    cluster.write(an_event(1))
    cluster.write(an_event(2))
    async with cluster.following() as follower:
        await follower.read_past(4)
        await follower.settle()

        assert follower.behind == 0
        assert cluster.committed(topic).offset == 4


async def test_unreadable_record_is_set_aside_with_the_next_settlement(cluster: Cluster) -> None:
    """A record that is not an event neither vanishes nor stops the events around it."""
    topic = cluster.create_for()
    with cluster.transaction() as producer:
        producer.produce(topic, b"\xff\x00", b"key", 0, headers=[("ce_type", None)])
    cluster.write(an_event("after"))
    async with cluster.following() as follower:
        await follower.read_until("after")
        assert not cluster.dead_letters()
        await follower.settle(but=["after"])

    [letter] = cluster.dead_letters()
    assert (letter.reason, letter.raw, letter.subscriber) == ("unreadable", b"\xff\x00", "target")
    async with cluster.following() as follower:
        assert await follower.read_until("after") == ["after"]
        await follower.settle()
    assert len(cluster.dead_letters()) == 1


async def test_dead_letter_and_its_offset_are_one_transaction(cluster: Cluster) -> None:
    """A process that is out of its group can neither move progress nor set anything aside."""
    topic = cluster.create_for()
    cluster.write(an_event(1))
    settlement = Settlement(
        assignment=1,
        progress={Partition(topic=topic, number=0): SettledOffsets(next_offset=2)},
        set_aside=[a_dead_letter("x", stage=Stage.DISPATCH)],
    )
    former = await asyncio.to_thread(cluster.former_member)
    async with cluster.following() as follower:
        await follower.read_until("1")
        for attempt in (settlement, replace(settlement, set_aside=[])):
            refused = await asyncio.to_thread(cluster.settle_as, former, attempt)
            assert isinstance(refused, LogUnavailable)
        assert (cluster.dead_letters(), cluster.committed(topic).offset) == ([], 0)

        await follower.feed.settle(settlement)
        assert [letter.id for letter in cluster.dead_letters()] == ["x"]
        assert cluster.committed(topic).offset == 2


async def test_processes_of_a_subscriber_share_partitions_and_keep_what_stays(cluster: Cluster) -> None:
    """A second process takes over half; the first one repeats and skips nothing in the half it keeps."""
    cluster.create_for(partitions=4)
    for partition in range(4):
        cluster.write(an_event(f"{partition}-old"), partition=partition)
    async with cluster.following() as first:
        await first.read_until(*(f"{partition}-old" for partition in range(4)))
        async with cluster.following() as second, reading(first):
            await until_assigned(second, 2)
            for partition in range(4):
                cluster.write(an_event(f"{partition}-new"), partition=partition)
            kept = {partition.number for partition in first.assigned}
            await second.read_until(*(f"{number}-new" for number in range(4) if number not in kept))
            await until(lambda: {f"{number}-new" for number in kept} <= set(first.ids))

    assert len(kept) == 2
    assert not [id_ for id_ in first.ids if first.ids.count(id_) > 1]


async def test_settlement_in_flight_is_recorded_before_a_partition_moves(cluster: Cluster) -> None:
    """The next owner repeats nothing that was settled until its former one heard of the move."""
    cluster.create_for(partitions=2)
    for partition in range(2):
        cluster.write(an_event(f"{partition}-old"), partition=partition)
    async with cluster.following() as first:
        await first.read_until("0-old", "1-old")
        async with cluster.following() as second:
            # The first one is asked to let go at its next heartbeat.
            await asyncio.sleep(1.5)
            await first.settle()
            async with reading(first):
                await until_assigned(second, 1)
                [moved] = second.assigned
                cluster.write(an_event("new"), partition=moved.number)

                assert await second.read_until("new") == ["new"]


async def test_what_was_finished_is_recorded_after_a_partition_is_said_to_move(cluster: Cluster) -> None:
    """Until the reader asks for more, so that the next owner repeats only what is in flight."""
    cluster.create_for(partitions=2)
    for partition in range(2):
        cluster.write(an_event(f"{partition}-old"), partition=partition)
    async with cluster.following() as first:
        await first.read_until("0-old", "1-old")
        held = dict(first.assigned)
        async with cluster.following() as second:
            while len(first.assigned) == 2:
                await first.step()
            [moved] = held.keys() - first.assigned.keys()
            progress = {moved: SettledOffsets(next_offset=first.through[moved])}
            recorded = await first.feed.settle(Settlement(assignment=held[moved], progress=progress))
            assert recorded.partitions == {moved}
            async with reading(first):
                await until_assigned(second, 1)
                cluster.write(an_event("new"), partition=moved.number)

                assert await second.read_until("new") == ["new"]


async def test_commit_on_its_way_does_not_hold_up_a_partition_that_moves(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebalance that begins before its confirmation is heard tells who waits for it all the same."""
    # Without it, the partition is let go of when the session is over.
    cluster = Cluster(kafka, session_timeout_s=30)
    is_deaf = threading.Event()
    confirm = Commits.confirm
    monkeypatch.setattr(Commits, "confirm", lambda *said: None if is_deaf.is_set() else confirm(*said))
    cluster.create_for(partitions=2)
    for partition in range(2):
        cluster.write(an_event(f"{partition}-old"), partition=partition)
    async with cluster.following() as first:
        await first.read_until("0-old", "1-old")
        is_deaf.set()
        unheard = asyncio.create_task(first.settle())
        await asyncio.sleep(0.2)
        is_deaf.clear()
        async with cluster.following() as second:
            while len(first.assigned) == 2:
                await first.step()
            began = time.monotonic()
            assert len((await unheard).partitions) == 2
            assert time.monotonic() - began < cluster.settings.session_timeout_s
            async with reading(first):
                await until_assigned(second, 1)
                [moved] = second.assigned
                cluster.write(an_event("new"), partition=moved.number)

                assert await second.read_until("new") == ["new"]


async def test_partition_that_moved_is_not_among_those_recorded(cluster: Cluster) -> None:
    """The broker takes what is kept, under its older assignment."""
    cluster.create_for(partitions=2)
    async with cluster.following() as first:
        await until_assigned(first, 2)
        stale = [
            Settlement(assignment=number, progress={partition: SettledOffsets(next_offset=0)})
            for partition, number in first.assigned.items()
        ]
        async with cluster.following() as second, reading(first):
            await until_assigned(second, 1)
            recorded = [await first.feed.settle(each) for each in stale]

            kept = Recorded(partitions=frozenset(first.assigned))
            assert sorted(recorded, key=lambda each: len(each.partitions)) == [Recorded(), kept]


async def test_partition_is_crowded_while_its_metadata_are_nearly_full(cluster: Cluster) -> None:
    """Some 1,150 runs of settled offsets take three quarters; what was recorded is honoured all the same."""
    topic = cluster.create_for()
    cluster.write(*(an_event(number) for number in range(3_000)))
    every_second = [str(number) for number in range(0, 3_000, 2)]
    async with cluster.following() as follower:
        await follower.read_until("2999")
        assert (await follower.settle(but=every_second[:1_100])).crowded == frozenset()
        recorded = await follower.settle(but=every_second)

    assert recorded.partitions == recorded.crowded == {Partition(topic=topic, number=0)}
    async with cluster.following() as follower:
        assert await follower.read_until("2998") == every_second
        assert (await follower.settle()).crowded == frozenset()


async def test_retention_that_overtook_a_subscriber_is_reported(cluster: Cluster) -> None:
    """Events that retention deleted are recorded as a hole; the position is never reset silently."""
    topic = cluster.create_for()
    cluster.write(*(an_event(number) for number in range(10)))
    async with cluster.following() as follower:
        await follower.read_until("9")
        await follower.settle(but=["2"])
    cluster.admin.delete_records([TopicPartition(topic, 0, 7)])[TopicPartition(topic, 0, 7)].result()

    with capture_logs() as lines:
        async with cluster.following() as follower:
            cluster.write(an_event("next"))
            assert await follower.read_until("next") == ["next"]
    assert holes(lines) == [(2, 7, 5)]


async def test_member_that_failed_begins_anew(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the client is told once, and the partitions are read again from where they were settled."""
    cluster.create_for()
    cluster.write(an_event(1))
    cluster.commit(TopicPartition(cluster.names.event_topic(an_event(1).type), 0, 50))
    fail_at_holes(monkeypatch, KafkaException(KafkaError(KafkaError._FAIL)))
    async with cluster.following() as follower:
        with pytest.raises(LogUnavailable):
            await follower.read_until("1")

        assert await follower.read_until("1") == ["1"]


@pytest.mark.parametrize("who", [0, 1], ids=["who gives up", "who takes over"])
async def test_partitions_move_though_a_consumer_does_not_know_its_group_any_more(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, who: int
) -> None:
    """As while one is closed that has failed."""
    cluster.create_for(partitions=2)
    members: list[Forgetful] = []
    monkeypatch.setattr(clients, "CheckedConsumer", partial(Forgetful, members))
    async with cluster.following() as first:
        await until_assigned(first, 2)
        async with cluster.following() as second, reading(first):
            await until(lambda: len(members) == 2)
            members[who].forgets = True
            await until_assigned(second, 1)

            assert not members[who].forgets


class Forgetful(CheckedConsumer):
    """A consumer that may not know its group, when it is asked once more."""

    def __init__(self, made: list["Forgetful"], *args: Any, **kwargs: Any) -> None:
        """Be one of `made` once it follows a group, otherwise as any."""
        super().__init__(*args, **kwargs)
        self.forgets = False
        self._made = made

    def subscribe(self, *args: Any, **callbacks: Any) -> None:
        """Follow a group."""
        self._made.append(self)
        super().subscribe(*args, **callbacks)

    def consumer_group_metadata(self) -> Any:
        """Return what is known of the group."""
        if self.forgets:
            self.forgets = False
            raise RuntimeError("Consumer group metadata not available")
        return super().consumer_group_metadata()


async def test_topics_are_looked_up_in_no_callback(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client would end the process at its next callback. Who is refused there asks by another client."""
    monkeypatch.setattr(clients, "CheckedConsumer", Strict)
    async with cluster.following() as follower:
        cluster.create_for(partitions=2)
        await until_assigned(follower, 2)
        cluster.write(an_event(1))

        assert await follower.read_until("1") == ["1"]


class Strict(CheckedConsumer):
    """A consumer that finds no leaders in a callback, and may not be made to look for them there."""

    _callbacks = 0

    def subscribe(self, *args: Any, **callbacks: Any) -> None:
        """Join, and know whenever a callback is being served."""
        counted: dict[str, Any] = {name: self._counted(call) for name, call in callbacks.items()}
        super().subscribe(*args, **counted)

    def _counted(self, call: Callable[..., None]) -> Callable[..., None]:
        def counted(*arguments: Any) -> None:
            self._callbacks += 1
            try:
                call(*arguments)
            finally:
                self._callbacks -= 1

        return counted

    def offsets_for_times(self, *args: Any, **kwargs: Any) -> Any:
        """Fail in callbacks."""
        if self._callbacks:
            raise KafkaException(KafkaError(KafkaError.FENCED_LEADER_EPOCH))
        return super().offsets_for_times(*args, **kwargs)

    def list_topics(self, *args: Any, **kwargs: Any) -> Any:
        """Fail the test in callbacks."""
        assert not self._callbacks
        return super().list_topics(*args, **kwargs)


async def test_end_of_the_thread_ends_its_reader(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the thread is raised to the reader, and again each time it retries."""
    cluster.create_for()
    cluster.write(an_event(1))
    cluster.commit(TopicPartition(cluster.names.event_topic(an_event(1).type), 0, 50))
    fail_at_holes(monkeypatch, ZeroDivisionError())
    async with cluster.following() as follower:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await follower.read_until("1")


async def test_offset_beyond_the_end_is_reported_and_all_is_read_again(cluster: Cluster) -> None:
    """A partition that holds less than it did is not trusted to hold the same."""
    topic = cluster.create_for()
    cluster.write(an_event(1))
    cluster.commit(TopicPartition(topic, 0, 50))
    with capture_logs() as lines:
        async with cluster.following() as follower:
            assert await follower.read_until("1") == ["1"]
            await until(lambda: follower.behind == 0)
            await follower.settle()

    assert holes(lines) == [(50, 0, 0)]
    assert cluster.committed(topic).offset == 2


async def test_slow_reader_gets_all_of_a_backlog_in_order(cluster: Cluster) -> None:
    """Pausing what can't be taken in skips nothing and repeats nothing."""
    cluster.create_for()
    cluster.write(*(an_event(number) for number in range(10_000)))
    async with cluster.following() as follower:
        await follower.read_until("0")
        await asyncio.sleep(0.5)

        assert await follower.read_until("9999") == [str(number) for number in range(10_000)]


async def test_leaving_waits_for_no_session_and_leaves_no_thread(kafka: str) -> None:
    """A process that stops hands its partitions over at once."""
    cluster = Cluster(kafka, session_timeout_s=60)
    cluster.create_for()
    cluster.write(an_event(1))
    async with cluster.following() as follower:
        await follower.read_until("1")
        began = time.perf_counter()

    assert time.perf_counter() - began < cluster.settings.session_timeout_s
    await until(lambda: not [each for each in threading.enumerate() if each.name.startswith("follow ")])


def holes(lines: Sequence[Mapping[str, Any]]) -> list[tuple[int, int, int]]:
    """Return the expected offset, the found one and how many are missing, of each hole in `lines`."""
    return [
        (line["expected_offset"], line["found_offset"], line["missing"])
        for line in lines
        if line["event"] == "log.hole_found"
    ]


def fail_at_holes(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the consumer's thread fail with `error` at the first hole that it finds."""
    errors = [error]
    go_on = Rebalance.go_on_after_hole

    def told(self: Rebalance, missing: MissingOffset) -> None:
        if errors:
            raise errors.pop()
        go_on(self, missing)

    monkeypatch.setattr(Rebalance, "go_on_after_hole", told)


async def until_assigned(follower: Follower, count: int) -> None:
    """Read until `count` partitions are ours."""
    async with limited(f"{count} partitions"):
        while len(follower.assigned) != count:
            await follower.step()


@asynccontextmanager
async def reading(follower: Follower, arrivals: dict[str, float] | None = None) -> AsyncIterator[None]:
    """Let `follower` read beside the body, and note when each event came."""

    async def read() -> None:
        while True:
            known = len(follower.entries)
            await follower.step()
            if arrivals is not None:
                arrivals.update((name, time.monotonic()) for name in follower.ids[known:])

    task = asyncio.create_task(read())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
