"""The keeper of states on a real Kafka."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from streamer.clock import SystemClock
from streamer.events import Event, JsonObject
from streamer.log.kafka.log import KafkaLog
from streamer.observe.state_metrics import StateMetrics
from streamer.state.keeper import StateKeeper
from streamer.state.readings import StateReadings
from tests.contracts.test_record_states import ACCOUNT, append_changes
from tests.contracts.values import CHANGES, an_event
from tests.integration.kafka.state_world import StateWorld, recent
from tests.waiting import until


async def test_changes_become_whole_records(kafka: str, tmp_path: Path) -> None:
    """The state topic has one record for each change, also after a restart that has lost its copies."""
    world = StateWorld(kafka, tmp_path)
    async with world.open() as log, kept(log):
        await append_changes(log, event(1, "created", Name="a", Phone="1"))
        await append_changes(log, event(2, "updated", Phone="2"))
        await until(lambda: has_records(world, 2))
    shutil.rmtree(tmp_path / "0")
    async with world.open() as log, kept(log):
        await append_changes(log, event(3, "updated", Name="b", Phone=None))
        await append_changes(log, event(4, "deleted"))
        await until(lambda: has_records(world, 4))

    values = [record.value for record in await world.records()]
    assert [value and json.loads(value)["fields"] for value in values] == [
        {"Name": "a", "Phone": "1"},
        {"Name": "a", "Phone": "2"},
        {"Name": "b"},
        None,
    ]


@asynccontextmanager
async def kept(log: KafkaLog) -> AsyncIterator[None]:
    """Run a keeper of accounts."""
    clock = SystemClock()
    keeper = StateKeeper(
        log=log,
        clock=clock,
        readings=StateReadings.of(["Account"], [CHANGES.path], log, clock),
        metrics=StateMetrics(CollectorRegistry()),
    )
    running = asyncio.create_task(keeper.run())
    try:
        await until(lambda: keeper.following)
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])


async def has_records(world: StateWorld, number: int) -> bool:
    """Return true once the state topic has so many records."""
    return len(await world.records()) >= number


def event(number: int, kind: str, **fields: str | None) -> Event:
    """Return a change of the account."""
    data: JsonObject = {
        "entity": "Account",
        "record_id": ACCOUNT,
        "change": kind,
        "fields": fields,
        "transaction": {"commit_number": number, "sequence": 1},
    }
    return an_event(
        number,
        what=f"salesforce.cdc.Account.{kind}",
        key=ACCOUNT,
        time=recent(number),
        data=data,
    )
