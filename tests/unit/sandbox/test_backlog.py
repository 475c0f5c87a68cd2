"""Backlogs of objects that are declared."""

import orjson
import pytest

from streamer.sandbox.backlog import Backlog, produce
from streamer.sandbox.org.definitions import parse_schema
from streamer.sandbox.org.org import OrgSetup
from tests.unit.sandbox.org.world import OrgWorld

TYPES = (
    "Account",
    "Contact",
    "Contract",
    "Lead",
    "Opportunity",
    "Order",
    "OrderItem",
    "Task",
    "Invoice__c",
)
FIELDS = {
    "Number__c": "double",
    "Key__c": {"type": "string", "required": True, "unique": True, "length": 12},
    "Kind__c": {"type": "picklist", "required": True, "values": ["A", "B"]},
    "Text__c": {"type": "textarea", "length": 300},
}


async def test_a_backlog_uses_declared_fields_alone() -> None:
    """Its text fits into the first long one."""
    world = OrgWorld(OrgSetup(schema=parse_schema({"objects": {"Line__c": {"fields": FIELDS}}})))
    await produce(world.org, world.clock, Backlog(entity="Line__c", count=3, records=2))
    payloads = world.payloads()
    assert [payload["Number__c"] for payload in payloads] == [1, 2, 3]
    assert (payloads[0]["Text__c"], payloads[0]["Kind__c"]) == ("Change 1", "A")


@pytest.mark.parametrize("entity", TYPES)
async def test_records_are_small_and_look_real(entity: str) -> None:
    """No filler, unless a size is asked for; a parent that is required is there."""
    world = OrgWorld()
    await produce(world.org, world.clock, Backlog(entity=entity, count=3, records=2))
    changes = [
        each for each in world.messages() if each["payload"]["ChangeEventHeader"]["entityName"] == entity
    ]
    assert [len(orjson.dumps(each)) < 1_000 for each in changes] == [True] * 3
    assert b"xxx" not in orjson.dumps(changes)
    assert all(each["payload"].get("AccountId", "001").startswith("001") for each in changes)


@pytest.mark.parametrize("size_bytes", [1_000, 20_000])
async def test_records_have_the_size_that_is_asked_for(size_bytes: int) -> None:
    """To within some hundred bytes."""
    world = OrgWorld()
    await produce(world.org, world.clock, Backlog(count=2, records=1, size_bytes=size_bytes))
    assert all(abs(len(orjson.dumps(each)) - size_bytes) < 400 for each in world.messages())


async def test_text_is_cut_to_the_declared_length() -> None:
    """A backlog of large events of a type with a short text has smaller ones."""
    world = OrgWorld(OrgSetup(schema=parse_schema({"objects": {"Line__c": {"fields": FIELDS}}})))
    await produce(world.org, world.clock, Backlog(entity="Line__c", size_bytes=5_000))
    assert len(world.payloads()[0]["Text__c"]) == 300


async def test_a_backlog_of_an_object_without_such_fields_is_made_too() -> None:
    """Its events have what is required."""
    world = OrgWorld(OrgSetup(schema=parse_schema({"objects": {"Line__c": {}}})))
    await produce(world.org, world.clock, Backlog(entity="Line__c", count=2))
    assert len(world.messages()) == 2
