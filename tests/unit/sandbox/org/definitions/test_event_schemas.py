"""Ids of event schemas."""

from streamer.sandbox.org.definitions import parse_schema
from streamer.sandbox.org.schema import Field, PlatformEvent
from tests.unit.sandbox.org.definitions.conftest import DECLARED
from tests.unit.sandbox.org.world import OrgWorld

NAME = "Order_Placed__e"


def publish(world: OrgWorld, **fields: object) -> str:
    """Publish an order and return the schema id of its message."""
    world.org.publish_platform_event(NAME, {"Order_No__c": "1", **fields})
    return str(world.messages(f"/event/{NAME}")[-1]["schema"])


def test_all_messages_of_a_definition_have_one_id(world: OrgWorld) -> None:
    """Whatever fields they set, and also after the same schema is declared again."""
    ids = {publish(world), publish(world, Amount__c=1)}
    world.org.declare(parse_schema(DECLARED))
    assert {*ids, publish(world)} == ids
    assert len(ids) == 1


def test_a_changed_definition_has_a_new_id_and_the_old_one_stays_readable(world: OrgWorld) -> None:
    """Events of before are retained under their id."""
    before = publish(world)
    fields = {"Order_No__c": {"type": "string", "required": True}, "New__c": "boolean"}
    world.org.declare(parse_schema({"events": {NAME: {"fields": fields}}}))
    after = publish(world)
    names = [
        [field["name"] for field in (world.org.event_schemas.get(each) or {})["fields"]]
        for each in (before, after)
    ]
    assert ("Note__c" in names[0], names[1][2:]) == (True, ["Order_No__c", "New__c"])


def test_change_events_have_the_id_of_their_object(world: OrgWorld) -> None:
    """It changes with the first use of a new field, where the object is open."""
    for fields in ({"Name": "A"}, {"Name": "B"}, {"Name": "C", "New__c": 1}):
        world.create("Account", **fields)
    first, second, third = (message["schema"] for message in world.messages())
    assert first == second != third
    schema = world.org.event_schemas.get(third)
    assert schema is not None
    assert (schema["name"], schema["fields"][-1]["name"]) == ("AccountChangeEvent", "New__c")


def test_an_id_of_an_earlier_run_is_readable_at_once(world: OrgWorld) -> None:
    """The same schema gives the same ids, whether or not an event needed them yet."""
    world.create("Account", Name="A")
    earlier = [publish(world), world.messages()[0]["schema"]]
    again = OrgWorld(world.org.settings)
    names = [(again.org.event_schemas.get(each) or {})["name"] for each in earlier]
    assert names == [NAME, "AccountChangeEvent"]


def test_of_very_many_schemas_the_oldest_are_forgotten(world: OrgWorld) -> None:
    """The sandbox does not grow without end."""
    schemas = world.org.event_schemas
    ids = [
        schemas.id_of(PlatformEvent(name="P__e", fields={f"F{number}__c": Field(name=f"F{number}__c")}))
        for number in range(10_001)
    ]
    assert (schemas.get(ids[0]), schemas.get(ids[-1]) is None) == (None, False)
    assert schemas.get("nope") is None
