"""A channel's path tells its kind, and a name in it the other."""

import pytest

from streamer.channel_paths import ChannelKind, change_channel, changed_entity, name_in_type, without_filter
from streamer.events import Channel
from tests.messages import ORG

HOUR_S = 3600


@pytest.mark.parametrize(
    ("path", "kind", "hours", "on_pubsub", "keyed"),
    [
        ("/data/ChangeEvents", ChannelKind.CHANGES, 72, True, False),
        ("/event/Order_Placed__e", ChannelKind.EVENTS, 72, True, True),
        ("/event/LoginEventStream", ChannelKind.EVENTS, 72, True, True),
        ("/topic/OpenInvoices?Status__c='Open'", ChannelKind.PUSH_TOPIC, 24, False, False),
        ("/u/notifications/Demo", ChannelKind.GENERIC, 24, False, True),
    ],
)
def test_kind_decides_retention_transports_and_order(
    path: str, kind: ChannelKind, hours: int, *, on_pubsub: bool, keyed: bool
) -> None:
    """PushTopic and generic channels are the Streaming API's alone, and kept for a day."""
    assert ChannelKind.of(path) is kind
    assert kind.is_on_pubsub is on_pubsub
    assert kind.is_keyed is keyed
    assert Channel(org=ORG, path=path).retention_s == hours * HOUR_S


@pytest.mark.parametrize(
    ("entity", "path"),
    [
        ("Account", "/data/AccountChangeEvent"),
        ("Invoice__c", "/data/Invoice__ChangeEvent"),
        ("acme__Invoice__c", "/data/acme__Invoice__ChangeEvent"),
    ],
)
def test_channel_of_an_object_is_derived_from_its_name(entity: str, path: str) -> None:
    """And the object from the channel."""
    assert change_channel(entity) == path
    assert changed_entity(path) == entity


@pytest.mark.parametrize("path", ["/data/ChangeEvents", "/data/Erp__chn", "/event/XChangeEvent", "/u/a"])
def test_other_channels_can_carry_any_object(path: str) -> None:
    """Or none."""
    assert changed_entity(path) is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/topic/OpenInvoices?Status__c='Open/Sent'", "OpenInvoices"),
        ("/topic/Open-Invoices", "Open_Invoices"),
        ("/u/notifications/Demo", "notifications_Demo"),
        ("/u/a.b", "a_b"),
    ],
)
def test_name_in_a_type_is_one_word(path: str, name: str) -> None:
    """So that a topic in Kafka and a pattern can name it."""
    assert name_in_type(path) == name
    assert "?" not in without_filter(path)
