"""PushTopics announce the changes that their query and their settings ask for."""

from typing import Any

import pytest

from streamer.sandbox.org.definitions import parse_schema
from streamer.sandbox.org.refusals import Refused
from tests.unit.sandbox.streaming.conftest import StreamingWorld

ALL = "SELECT Id, Name, Phone FROM Account"
OPEN = "SELECT Id, Name FROM Account WHERE Industry = 'Energy'"


def test_each_operation_is_told(world: StreamingWorld) -> None:
    """With the selected fields, null for an empty one, and of a deletion the id."""
    world.topic(ALL)
    account = world.create("Account", Name="Acme", Phone="1")
    world.update("Account", account, Phone=None)
    with world.org.transaction() as transaction:
        transaction.delete("Account", account)
    with world.org.transaction() as transaction:
        transaction.undelete("Account", account)

    assert world.notifications() == [
        ("created", {"Id": account, "Name": "Acme", "Phone": "1"}),
        ("updated", {"Id": account, "Name": "Acme", "Phone": None}),
        ("deleted", {"Id": account}),
        ("undeleted", {"Id": account, "Name": "Acme", "Phone": None}),
    ]


def test_message_has_the_form_of_the_guide(world: StreamingWorld) -> None:
    """The event holds time, position and type."""
    world.topic(ALL)
    world.create("Account", Name="Acme")
    (message,) = world.messages("/topic/Topic")

    assert message.keys() == {"event", "sobject"}
    assert message["event"].keys() == {"createdDate", "replayId", "type"}
    assert message["event"]["createdDate"] == "2025-01-01T00:00:00.000Z"


def test_only_records_that_meet_the_conditions_are_told(world: StreamingWorld) -> None:
    """As they are after the change."""
    world.topic(OPEN)
    other = world.create("Account", Name="Bolt", Industry="Retail")
    world.create("Contact", LastName="Berg")
    account = world.create("Account", Name="Acme", Industry="Energy")
    world.update("Account", account, Industry="Retail")
    world.update("Account", other, Industry="Energy")

    assert [(kind, sobject["Name"]) for kind, sobject in world.notifications()] == [
        ("created", "Acme"),
        ("updated", "Bolt"),
    ]


@pytest.mark.parametrize(
    ("notify_for", "told"),
    [
        ("All", ["Name", "Industry", "Fax"]),
        ("Referenced", ["Name", "Industry"]),
        (None, ["Name", "Industry"]),
        ("Select", ["Name"]),
        ("Where", ["Industry"]),
    ],
)
def test_updates_are_told_by_the_fields_that_changed(
    world: StreamingWorld, notify_for: str | None, told: list[str]
) -> None:
    """Referenced ones are selected or in a condition."""
    world.topic(
        "SELECT Id, Name FROM Account WHERE Industry != 'Gone'",
        **({"NotifyForFields": notify_for} if notify_for else {}),
    )
    account = world.create("Account", Name="Acme", Industry="Energy")
    found = []
    for name in ("Name", "Industry", "Fax"):
        before = len(world.notifications())
        world.update("Account", account, **{name: "New"})
        found += [name] * (len(world.notifications()) - before)

    assert found == told


def test_compound_name_changes_with_its_parts(world: StreamingWorld) -> None:
    """The query names the whole."""
    world.topic("SELECT Id, Name FROM Contact")
    contact = world.create("Contact", FirstName="Ida", LastName="Berg")
    world.update("Contact", contact, FirstName="Eva")

    assert [sobject["Name"] for _, sobject in world.notifications()] == ["Ida Berg", "Eva Berg"]


@pytest.mark.parametrize(
    ("switched_off", "told"),
    [
        ("NotifyForOperationCreate", ["updated", "deleted", "undeleted"]),
        ("NotifyForOperationUpdate", ["created", "deleted", "undeleted"]),
        ("NotifyForOperationDelete", ["created", "updated", "undeleted"]),
        ("NotifyForOperationUndelete", ["created", "updated", "deleted"]),
        ("IsActive", []),
    ],
)
def test_operations_can_be_left_out(world: StreamingWorld, switched_off: str, told: list[str]) -> None:
    """And a topic can rest."""
    world.topic(ALL, **{switched_off: False})
    account = world.create("Account", Name="Acme")
    world.update("Account", account, Name="Bolt")
    with world.org.transaction() as transaction:
        transaction.delete("Account", account)
    with world.org.transaction() as transaction:
        transaction.undelete("Account", account)

    assert [kind for kind, _ in world.notifications()] == told


def test_notifications_of_one_record_in_one_transaction_come_last_first(world: StreamingWorld) -> None:
    """Each with the values of its time; those of other records keep their order."""
    world.topic(ALL)
    with world.org.transaction() as transaction:
        first = transaction.create("Account", {"Name": "Acme"})
        transaction.create("Account", {"Name": "Bolt"})
        transaction.update("Account", first, {"Name": "Acme 2"})

    assert [(kind, sobject["Name"]) for kind, sobject in world.notifications()] == [
        ("updated", "Acme 2"),
        ("created", "Acme"),
        ("created", "Bolt"),
    ]


def test_cascading_deletion_is_not_told(world: StreamingWorld) -> None:
    """Only that of a record itself is."""
    world.topic("SELECT Id FROM Contact")
    account = world.create("Account", Name="Acme")
    world.create("Contact", LastName="Berg", AccountId=account)
    with world.org.transaction() as transaction:
        transaction.delete("Account", account)

    assert [kind for kind, _ in world.notifications()] == ["created"]


def test_transaction_that_is_undone_is_not_told(world: StreamingWorld) -> None:
    """Nor is a part of one."""
    world.topic(ALL)
    with world.org.transaction() as transaction:
        transaction.create("Account", {"Name": "Acme"})
        with pytest.raises(Refused), transaction.savepoint():
            transaction.create("Account", {"Name": "Bolt", "Nope": 1})

    assert [sobject["Name"] for _, sobject in world.notifications()] == ["Acme"]


def test_topic_can_change_and_go(world: StreamingWorld) -> None:
    """The next change follows its new query."""
    topic = world.topic(ALL)
    world.update("PushTopic", topic, Query=OPEN)
    world.create("Account", Name="Acme")
    world.create("Account", Name="Bolt", Industry="Energy")
    with world.org.transaction() as transaction:
        transaction.delete("PushTopic", topic)
    world.create("Account", Name="Camel", Industry="Energy")

    assert [sobject["Name"] for _, sobject in world.notifications()] == ["Bolt"]


def test_no_change_event_tells_of_a_topic(world: StreamingWorld) -> None:
    """It is set-up, and no data."""
    topic = world.topic(ALL)
    world.update("PushTopic", topic, Description="All accounts")

    assert world.messages() == []
    assert world.org.channels.refusal("/data/PushTopicChangeEvent") is not None


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"Name": "N" * 26}, "STRING_TOO_LONG"),
        ({"Name": None}, "REQUIRED_FIELD_MISSING"),
        ({"Query": None}, "REQUIRED_FIELD_MISSING"),
        ({"Query": ALL + " " * 1300}, "STRING_TOO_LONG"),
        ({"Query": "SELECT Id FROM"}, "MALFORMED_QUERY"),
        ({"Query": "SELECT Nope FROM Account"}, "INVALID_FIELD"),
        ({"Query": "SELECT Id FROM Nope"}, "INVALID_TYPE"),
        ({"Query": "SELECT COUNT() FROM Account"}, "MALFORMED_QUERY"),
        ({"Query": "SELECT COUNT(Id) n FROM Account"}, "MALFORMED_QUERY"),
        ({"Query": "SELECT FIELDS(ALL) FROM Account"}, "MALFORMED_QUERY"),
        ({"Query": "SELECT Id, Owner.Name FROM Account"}, "MALFORMED_QUERY"),
        ({"Query": "SELECT Id FROM Account ORDER BY Name"}, "MALFORMED_QUERY"),
        ({"Query": "SELECT Id FROM Account LIMIT 1"}, "MALFORMED_QUERY"),
        ({"Query": "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact)"}, "MALFORMED_QUERY"),
        ({"NotifyForFields": "Some"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"Nope": 1}, "INVALID_FIELD"),
    ],
)
def test_topic_that_can_tell_nothing_is_refused(
    world: StreamingWorld, fields: dict[str, Any], code: str
) -> None:
    """When it is created, and when it is changed."""
    with pytest.raises(Refused) as refused:
        world.create("PushTopic", **{"Name": "Topic", "Query": ALL, **fields})
    assert refused.value.code == code
    topic = world.topic(ALL)
    with pytest.raises(Refused) as refused:
        world.update("PushTopic", topic, **fields)
    assert refused.value.code == code


def test_name_of_a_topic_is_its_own(world: StreamingWorld) -> None:
    """It is the channel."""
    world.topic(ALL)
    with pytest.raises(Refused) as refused:
        world.topic(OPEN)
    assert refused.value.code == "DUPLICATE_VALUE"


def test_topic_whose_object_has_lost_a_field_tells_nothing(world: StreamingWorld) -> None:
    """And disturbs no transaction, and can be deleted."""
    world.create("Invoice__c", Status__c="Open")
    topic = world.topic("SELECT Id, Status__c FROM Invoice__c")
    world.org.declare(parse_schema({"objects": {"Invoice__c": {"fields": {"Number__c": "string"}}}}))
    world.create("Invoice__c", Number__c="1")
    with world.org.transaction() as transaction:
        transaction.delete("PushTopic", topic)

    assert world.notifications() == []
