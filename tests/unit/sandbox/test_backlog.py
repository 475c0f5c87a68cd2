"""Backlogs of objects that are declared."""

from streamer.sandbox.backlog import Backlog, produce
from streamer.sandbox.org.definitions import parse_schema
from streamer.sandbox.org.org import OrgSettings
from tests.unit.sandbox.org.world import OrgWorld

FIELDS = {
    "Number__c": "double",
    "Key__c": {"type": "string", "required": True, "unique": True, "length": 12},
    "Kind__c": {"type": "picklist", "required": True, "values": ["A", "B"]},
    "Text__c": {"type": "textarea", "length": 300},
}


async def test_a_backlog_uses_declared_fields_alone() -> None:
    """Its text fits into the first long one."""
    world = OrgWorld(OrgSettings(schema=parse_schema({"objects": {"Line__c": {"fields": FIELDS}}})))
    await produce(world.org, world.clock, Backlog(entity="Line__c", count=3, records=2))
    payloads = world.payloads()
    assert [payload["Number__c"] for payload in payloads] == [1, 2, 3]
    assert (len(payloads[0]["Text__c"]), payloads[0]["Kind__c"]) == (300, "A")


async def test_a_backlog_of_an_object_without_such_fields_is_made_too() -> None:
    """Its events have what is required."""
    world = OrgWorld(OrgSettings(schema=parse_schema({"objects": {"Line__c": {}}})))
    await produce(world.org, world.clock, Backlog(entity="Line__c", count=2))
    assert len(world.messages()) == 2
