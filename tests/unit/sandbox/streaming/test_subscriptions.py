"""Who can subscribe to PushTopics and generic channels, and what they see."""

import orjson
import pytest

from streamer.sandbox.access.user import ObjectPermission, User
from streamer.sandbox.org.org import OrgSetup
from streamer.sandbox.org.refusals import Refused
from tests.unit.sandbox.streaming.conftest import StreamingWorld

NO_ACCESS = "403::Subscriber does not have access"
TOPIC, DEMO = "/topic/Topic", "/u/notifications/Demo"


def test_topic_that_rests_or_does_not_exist_is_refused(world: StreamingWorld) -> None:
    """Names are case-sensitive."""
    gone = "400::The channel you requested to subscribe to doesn't exist {/topic/Topic}"
    assert world.streaming.refusal(TOPIC, None) == gone
    topic = world.topic("SELECT Id FROM Account")
    assert world.streaming.refusal(TOPIC, None) is None
    assert world.streaming.refusal("/topic/topic", None) is not None
    world.update("PushTopic", topic, IsActive=False)
    assert world.streaming.refusal(TOPIC, None) == gone


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        (f"{TOPIC}?Phone='1'", None),
        (f"{TOPIC}?Phone='1'&Id='001'", None),
        (
            f"{TOPIC}?Fax='1'&Phone='1'&Nope='2'",
            "400::Query fields {Fax, Nope} do not exist on the topic entity",
        ),
        (TOPIC, None),
        ("/data/ChangeEvents?Fax='1'", None),
    ],
)
def test_fields_of_a_filter_are_selected(world: StreamingWorld, name: str, refusal: str | None) -> None:
    """Others are in no notification."""
    world.topic("SELECT Id, Phone FROM Account WHERE Fax != null")
    assert world.streaming.filter_refusal(name) == refusal


@pytest.mark.parametrize(
    ("user", "refusal"),
    [
        (User(username="a", objects={"Account": frozenset({ObjectPermission.READ})}), None),
        (
            User(username="a", objects={}),
            f"{NO_ACCESS} to the entity in this topic",
        ),
        (
            User(username="a", hidden_fields=frozenset({"Account.Fax"})),
            f"{NO_ACCESS} to all fields referenced in the where clause of the PushTopic",
        ),
        (User(username="a", hidden_fields=frozenset({"Account.Phone"})), None),
    ],
)
def test_subscriber_needs_the_object_and_the_fields_of_the_conditions(
    world: StreamingWorld, user: User, refusal: str | None
) -> None:
    """Fields that are only selected are left out."""
    world.topic("SELECT Id, Phone FROM Account WHERE Fax != null")
    assert world.streaming.refusal(TOPIC, user) == refusal


def test_hidden_field_is_in_no_notification(world: StreamingWorld) -> None:
    """For the user from whom it is hidden."""
    world.topic("SELECT Id, Name, Phone FROM Account")
    account = world.create("Account", Name="Acme", Phone="1")
    [message] = world.bus.after(TOPIC, 0)
    view = world.streaming.view(TOPIC, "005", User(username="a", hidden_fields=frozenset({"Account.Phone"})))

    assert view is not None
    assert orjson.loads(view(message.data) or b"")["sobject"] == {"Id": account, "Name": "Acme"}
    assert view(b"\xff") == b"\xff"
    assert world.streaming.view(TOPIC, "005", User(username="a")) is None


def test_subscriber_creates_a_generic_channel(world: StreamingWorld) -> None:
    """Where the schema is open; names that differ in letter case alone are refused."""
    assert world.streaming.refusal(DEMO, None) is None
    assert world.streaming.refusal(DEMO, None) is None
    rows = world.query("SELECT Name, IsDynamic FROM StreamingChannel").rows()
    assert [(row["Name"], row["IsDynamic"]) for row in rows] == [(DEMO, True)]
    refusal = world.streaming.refusal("/u/Notifications/Demo", None)
    assert refusal == "404::channel names may not vary only by case"


def test_closed_org_has_only_the_channels_that_were_created() -> None:
    """Their names say that they are generic."""
    world = StreamingWorld(OrgSetup(closed=True))
    assert world.streaming.refusal(DEMO, None) == "404::Unknown channel"
    world.create("StreamingChannel", Name=DEMO)
    assert world.streaming.refusal(DEMO, None) is None
    with pytest.raises(Refused, match="begins with /u/"):
        world.create("StreamingChannel", Name="/x/Demo")


def test_message_for_some_users_is_hidden_from_the_others(world: StreamingWorld) -> None:
    """Whoever sees everything else."""
    world.streaming.generic.push(DEMO, "all")
    world.streaming.generic.push(DEMO, "one", ["005A"])
    views = [world.streaming.view(DEMO, user_id, User(username="a")) for user_id in ("005A", "005B")]
    seen = [
        [
            orjson.loads(data)["payload"]
            for message in world.bus.after(DEMO, 0)
            if (data := view(message.data))
        ]
        for view in views
        if view is not None
    ]
    assert seen == [["all", "one"], ["all"]]
