"""State topics in a real Kafka, as consumers and the next owner find them."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streamer.errors import Fenced, LogMisconfigured
from streamer.events import Partition
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.names import partition_of
from streamer.log.kafka.history.own_topics import OwnTopics
from streamer.log.kafka.topics.admin import KafkaAdmin
from tests.integration.kafka.state_world import (
    StateWorld,
    a_state,
    fold,
    left_open,
    names_of,
    reading,
    recent,
    until_assigned,
    until_shared,
)
from tests.integration.kafka.test_receipts import Fault, disturb, lost_answer, lost_places, lost_request
from tests.integration.kafka.topics import make_topic
from tests.waiting import until

_IDS = [f"0010000000000{number:02}AAA" for number in range(20)]
_DEADLINE_S = 60.0


@pytest.fixture
def world(kafka: str, tmp_path: Path) -> StateWorld:
    """A world without records."""
    return StateWorld(kafka, tmp_path)


async def test_state_that_kafka_can_not_hold_names_the_fields_that_it_lacks(world: StateWorld) -> None:
    """Its largest fields stay away, and a keeper that takes over knows which."""
    world.settings = world.settings.model_copy(
        update={"options": {**world.settings.options, "message.max.bytes": 10_000}}
    )
    await world.append([1], _IDS[:1])
    async with world.keeper() as (log, follower):
        await follower.read_until("1")
        [entry] = follower.entries
        fields = {"Name": "n", "Long": "y" * 2_000, "Longer": "é" * 2_000, "Longest": "x" * 9_000}
        await follower.settle_states([replace(a_state(entry.event.key, 1, entry.partition), fields=fields)])
        known = await log.states.of("Account", _IDS[:1])

    [record] = await world.records()
    value = json.loads(record.value or b"")
    assert (value["fields"], value["omitted"]) == (
        {"Name": "n", "Long": "y" * 2_000},
        ["Longer", "Longest"],
    )
    assert known[_IDS[0]].omitted == ("Longer", "Longest")
    assert known[_IDS[0]].fields == value["fields"]


async def test_consumer_reads_whole_records_and_tombstones(world: StateWorld) -> None:
    """Key, value, headers, partition and time are what an upserting consumer needs."""
    await world.append([1, 2], _IDS[:2])
    async with world.keeper() as (_, follower):
        await follower.read_until("1", "2")
        one, other = sorted(follower.entries, key=lambda entry: entry.event.id)
        whole = a_state(one.event.key, 1, one.partition)
        gone = replace(a_state(other.event.key, 2, other.partition), fields=None)
        await follower.settle_states([whole, gone])

    records = {record.key: record for record in await world.records()}
    assert records.keys() == {_IDS[0].encode(), _IDS[1].encode()}
    kept, deleted = records[_IDS[0].encode()], records[_IDS[1].encode()]
    assert json.loads(kept.value or b"")["fields"] == {"Name": "1"}
    assert deleted.value is None
    assert [name for name, _ in kept.headers] == ["streamer-last", "content-type"]
    assert json.loads(dict(deleted.headers)["streamer-last"])["event_id"] == "2"
    assert all(each.partition == partition_of(each.key or b"", 2) for each in records.values())
    assert kept.timestamp == round(datetime.fromisoformat(recent(1)).timestamp() * 1000)


async def test_state_topic_is_compacted(world: StateWorld) -> None:
    """It has the partitions of the change topic, and keeps tombstones for a week."""
    make_topic(world.address, world.changes, partitions=3)
    async with world.keeper():
        pass

    state = KafkaAdmin(Clients(settings=world.settings)).states([world.states])[world.states]
    assert state.partitions == 3
    assert state.settings["cleanup.policy"] == "compact"
    assert state.settings["delete.retention.ms"] == "604800000"


async def test_state_topic_that_deletes_by_age_is_refused(world: StateWorld) -> None:
    """Its states would disappear."""
    make_topic(world.address, world.states, partitions=2, cleanup_policy="delete")
    with pytest.raises(LogMisconfigured, match=f"{world.states} has cleanup.policy=delete"):
        async with world.keeper():
            pass


async def test_restart_reads_only_what_its_copy_lacks(world: StateWorld) -> None:
    """The copy follows this process's own transactions without reading them again."""
    await world.append(range(20), _IDS)
    async with world.keeper() as (log, follower):
        await fold(follower, *range(20))
        assert len(await names_of(log, _IDS)) == 20
        assert sum(each.records for each in log.states.rebuilds) == 0
    async with world.keeper() as (log, follower):
        await until_assigned(follower, 2)

        assert len(await names_of(log, _IDS)) == 20
        assert sum(each.records for each in log.states.rebuilds) == 0


def lose(path: Path) -> None:
    """Remove the file."""
    path.unlink()


def fill_with_garbage(path: Path) -> None:
    """Overwrite the file's beginning."""
    path.write_bytes(b"garbage" * 1000)


def cut(path: Path) -> None:
    """Keep half of the file."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def make_newer(path: Path) -> None:
    """Pretend that a later version of Streamer wrote the file."""
    execute(path, "UPDATE about SET format = 99")


def make_foreign(path: Path) -> None:
    """Pretend that the file belongs to another topic."""
    execute(path, "UPDATE about SET origin = 'other'")


def make_old(path: Path) -> None:
    """Pretend that the file is older than the topic's tombstones, and has a record that is gone."""
    execute(path, "UPDATE about SET complete_at = 0, position = 1")
    execute(path, "INSERT INTO state SELECT 'gone', value, last FROM state LIMIT 1")


def move_beyond_the_end(path: Path) -> None:
    """Pretend that the topic has lost its last records."""
    execute(path, "UPDATE about SET position = 100000")
    execute(path, "DELETE FROM state")


@pytest.mark.parametrize(
    "spoil", [lose, fill_with_garbage, cut, make_newer, make_foreign, make_old, move_beyond_the_end]
)
async def test_spoiled_copy_is_built_again_from_the_topic(
    world: StateWorld, spoil: Callable[[Path], None]
) -> None:
    """It costs time, and never a record."""
    await world.append(range(20), _IDS)
    async with world.keeper() as (_, follower):
        await fold(follower, *range(20))
    assert len(world.copies()) == 2
    for path in world.copies():
        spoil(path)

    async with world.keeper() as (log, follower):
        await until_assigned(follower, 2)
        found = await names_of(log, [*_IDS, "gone"])
    assert found == {record_id: str(number) for number, record_id in enumerate(_IDS)}


async def test_outdated_copy_is_completed(world: StateWorld, tmp_path: Path) -> None:
    """A copy of last week's backup gets the records that it lacks."""
    await world.append(range(20), _IDS)
    async with world.keeper() as (_, follower):
        await fold(follower, *range(20))
    shutil.copytree(world.folder, tmp_path / "backup")
    await world.append(range(20, 40), _IDS)
    async with world.keeper() as (_, follower):
        await fold(follower, *range(20, 40))
    for path in world.copies():
        shutil.copy(tmp_path / "backup" / path.relative_to(world.folder), path)

    async with world.keeper() as (log, follower):
        await until_assigned(follower, 2)
        assert await names_of(log, _IDS) == {each: str(20 + n) for n, each in enumerate(_IDS)}
        assert sum(each.records for each in log.states.rebuilds) == 20


async def test_copy_that_is_damaged_while_it_is_used_is_built_again(world: StateWorld) -> None:
    """A look-up that meets the damage still returns every state."""
    await world.append(range(20), _IDS)
    async with world.keeper() as (log, follower):
        await fold(follower, *range(20))
        for cache in log.states._caches.values():
            if cache._connection is not None:
                cache._connection.execute("DROP TABLE state")

        assert await names_of(log, _IDS) == {each: str(n) for n, each in enumerate(_IDS)}


async def test_topic_that_is_created_again_has_no_former_states(world: StateWorld) -> None:
    """Its origin is another one, and the copies of the former topic are not used."""
    await world.append([0], _IDS[:1])
    async with world.keeper() as (log, follower):
        await fold(follower, 0)
        former = await log.states.origins(["Account"])
    admin = AdminClient({"bootstrap.servers": world.address})
    admin.delete_topics([world.states])[world.states].result()
    await until(lambda: world.states not in admin.list_topics(timeout=_DEADLINE_S).topics)

    async with world.keeper() as (log, follower):
        await until_assigned(follower, 2)
        assert await log.states.origins(["Account"]) != former
        assert await log.states.of("Account", _IDS) == {}


async def test_states_follow_their_partition_between_processes(world: StateWorld) -> None:
    """Each process has its own copies, and reads what another process has written meanwhile."""
    await world.append(range(20), _IDS)
    async with world.keeper() as (first_log, first):
        await fold(first, *range(20))
        async with world.keeper() as (second_log, second):
            await until_shared(first, second, 2)
            await world.append(range(20, 40), _IDS)
            moved = next(iter(second.assigned)).number
            mine = [n for n in range(20) if partition_of(_IDS[n].encode(), 2) == moved]
            assert await names_of(second_log, [_IDS[n] for n in mine]) == {_IDS[n]: str(n) for n in mine}
            await fold(second, *(n + 20 for n in mine))
        await until_assigned(first, 2)

        found = await names_of(first_log, _IDS)
    assert found == {each: str(n + 20 if n in mine else n) for n, each in enumerate(_IDS)}
    assert {path.parent.name for path in world.copies()} == {"0", "1"}


@pytest.mark.parametrize("partitions", [3, 4])
async def test_states_stay_right_when_partitions_are_added(world: StateWorld, partitions: int) -> None:
    """Records whose changes move to another partition keep their states and their order."""
    await world.append(range(20), _IDS)
    async with world.keeper() as (first_log, first):
        await fold(first, *range(20))
        world.grow(partitions)
        await world.append(range(20, 40), _IDS)
        async with world.keeper() as (second_log, second):
            await until_shared(first, second, partitions)
            for log, follower in ((first_log, first), (second_log, second)):
                for partition in follower.assigned:
                    mine = [
                        n for n in range(20) if partition_of(_IDS[n].encode(), partitions) == partition.number
                    ]
                    found = await names_of(log, [_IDS[n] for n in mine])
                    assert found == {_IDS[n]: str(n) for n in mine}
                    await fold(follower, *(n + 20 for n in mine))
            for log in (first_log, second_log):
                assert await names_of(log, _IDS) == {each: str(n + 20) for n, each in enumerate(_IDS)}
    records = await world.records()
    of_each = {each: [r.value for r in records if r.key == each.encode()] for each in _IDS}
    assert all(len(set(values)) == len(values) == 2 for values in of_each.values())


@pytest.mark.parametrize("fault", [lost_answer, lost_request, lost_places])
async def test_states_are_written_once_though_an_answer_was_lost(world: StateWorld, fault: Fault) -> None:
    """The look-up returns them, and the topic has each record once."""
    await world.append(range(20), _IDS)
    async with world.keeper() as (log, follower):
        await follower.read_until(*map(str, range(20)))
        states = [a_state(e.event.key, int(e.event.id), e.partition) for e in follower.entries]
        disturb(follower, fault)
        await follower.settle_states(states)

        assert await names_of(log, _IDS) == {each: str(n) for n, each in enumerate(_IDS)}
    assert len(await world.records()) == 20


async def test_state_that_another_process_has_written_is_not_overwritten(world: StateWorld) -> None:
    """The process that looked up the former state is fenced, and finds the newer state afterwards."""
    # On a starved machine, the group would drop a member with a short session, which is fenced for that.
    world.settings = world.settings.model_copy(update={"session_timeout_s": 60})
    await world.append([0, 1], _IDS[:2])
    async with world.keeper() as (log, follower):
        await follower.read_until("0", "1")
        assert await log.states.of("Account", _IDS) == {}
        [one, other] = sorted(follower.entries, key=lambda entry: entry.event.id)
        newer = a_state(_IDS[0], 9, Partition(topic=world.changes, number=7))
        with left_open(newer, world) as producer:
            producer.commit_transaction(_DEADLINE_S)
        with pytest.raises(Fenced, match="another process has written"):
            await follower.settle_states([a_state(_IDS[0], 0, one.partition)])

        assert await names_of(log, _IDS) == {_IDS[0]: "9"}
        await follower.settle_states(
            [a_state(_IDS[0], 10, one.partition), a_state(_IDS[1], 1, other.partition)]
        )
        assert await names_of(log, _IDS) == {_IDS[0]: "10", _IDS[1]: "1"}


async def test_compaction_in_the_middle_loses_no_state(world: StateWorld) -> None:
    """A new owner finds the last state of each record, and no deleted record."""
    make_topic(
        world.address, world.states, partitions=2, cleanup_policy="compact", segment_ms="100",
        min_cleanable_dirty_ratio="0.01", delete_retention_ms="0", max_message_bytes="4194304",
    )  # fmt: skip
    async with world.keeper() as (log, follower):
        for first in range(0, 200, 20):
            await world.append(range(first, first + 20), _IDS)
            await fold(follower, *range(first, first + 20))
        assert len(await names_of(log, _IDS)) == 20
        await until(lambda: fewer_records(world, 100), every_s=0.5)
        shutil.rmtree(world.folder / "0")
        (world.folder / "0").mkdir()
    async with world.keeper() as (log, follower):
        await until_assigned(follower, 2)

        assert await names_of(log, _IDS) == {each: str(180 + n) for n, each in enumerate(_IDS)}


async def test_consumer_sees_each_state_once_and_in_order(world: StateWorld) -> None:
    """Restarts, lost copies and deletions leave neither a gap nor a repetition for any record."""
    expected: dict[str, list[str]] = {each: [] for each in _IDS}
    for first in range(0, 60, 10):
        numbers = {number: _IDS[number * 7 % 20] for number in range(first, first + 10)}
        await world.append([*numbers], [*numbers.values()])
        if first % 20:
            world.copies()[0].unlink()
        async with world.keeper() as (_, follower):
            await follower.read_until(*map(str, numbers))
            whole = [a_state(e.event.key, int(e.event.id), e.partition) for e in follower.entries]
            await follower.settle_states(
                [
                    replace(each, fields=None if int(each.last.event_id) % 3 == 0 else each.fields)
                    for each in whole
                ]
            )
        for number, record_id in numbers.items():
            expected[record_id].append(str(number))

    found: dict[str, list[str]] = {each: [] for each in _IDS}
    for record in await world.records():
        event_id = json.loads(dict(record.headers)["streamer-last"])["event_id"]
        found[(record.key or b"").decode()].append(event_id)
        assert (record.value is None) == (int(event_id) % 3 == 0)
    assert found == expected


async def test_foreign_record_is_no_state(world: StateWorld) -> None:
    """It is reported once, also by the doctor, and the record's last state stays."""
    await world.append([0], _IDS[:1])
    async with world.keeper() as (_, follower):
        await fold(follower, 0)
    producer = Producer({"bootstrap.servers": world.address})
    producer.produce(world.states, b"foreign", _IDS[0].encode(), partition_of(_IDS[0].encode(), 2))
    producer.flush(_DEADLINE_S)

    async with world.keeper() as (log, follower):
        await until_assigned(follower, 2)
        assert await names_of(log, _IDS) == {_IDS[0]: "0"}
        assert log.foreign_records == {world.states: 1}
    clients = Clients(settings=world.settings)
    topics = KafkaAdmin(clients).states([world.states]).values()
    assert len(await asyncio.to_thread(OwnTopics(clients).foreign_records, topics)) == 1


async def test_page_after_a_hole_names_the_partition(world: StateWorld) -> None:
    """The keeper must read the records again whose changes the topic's retention has deleted."""
    await world.append([0], _IDS[:1])
    async with world.keeper() as (_, follower):
        await fold(follower, 0)
        assert follower.expired == set()
    number = partition_of(_IDS[0].encode(), 2)
    await world.append([1, 2], [_IDS[0], _IDS[0]])
    # Offset 1 has the marker of the first transaction.
    world.delete_before(number, 3)

    async with world.keeper() as (_, follower):
        await follower.read_until("2")
        assert follower.expired == {Partition(topic=world.changes, number=number)}


async def test_look_up_waits_for_an_undecided_transaction_of_a_former_owner(world: StateWorld) -> None:
    """A partition is announced only when the transaction before the topic's end is decided."""
    await world.append([0], _IDS[:1])
    async with world.keeper() as (_, follower):
        await fold(follower, 0)
    number = partition_of(_IDS[0].encode(), 2)
    later = a_state(_IDS[0], 1, Partition(topic=world.changes, number=number))
    with left_open(later, world) as producer:
        async with world.keeper() as (log, follower):
            async with reading(follower):
                await asyncio.sleep(1.5)
                assert Partition(topic=world.changes, number=number) not in follower.assigned
            producer.commit_transaction(_DEADLINE_S)
            await until_assigned(follower, 2)

            assert await log.states.of("Account", _IDS[:1]) == {_IDS[0]: later}


def execute(path: Path, statement: str) -> None:
    """Change a copy."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


async def fewer_records(world: StateWorld, most: int) -> bool:
    """Return true once the broker has compacted the state topic to fewer than `most` records."""
    return len(await world.records()) < most
