"""Valid channels, and suggestions for invalid ones."""

import pytest

from streamer.configuration import load, load_document
from streamer.settings import Transport
from tests.unit.configuration.conftest import GOOD, Write, told_of


def mistakes(write: Write, channel: str) -> str:
    """Return the mistakes of a configuration with one channel."""
    text = GOOD.replace("channels: [/data/ChangeEvents]", f"channels: [{channel}]")
    return told_of(write(text.replace("salesforce.cdc.Opportunity.updated", "'*'")))


@pytest.mark.parametrize(
    "channel",
    [
        "/data/Erp__chn",
        "/data/acme__Invoice__ChangeEvent",
        "/event/Orders__chn",
        "/event/LoginEventStream",
        "/topic/OpenInvoices",
        "/topic/Open-Invoices.2",
        "\"/topic/OpenInvoices?Status__c='Open'\"",
        "\"/topic/OpenInvoices?Name='A = B, C'&Account__r.Name='Ä'\"",
        "/u/Demo",
        "/u/notifications/Demo-2/x.y",
    ],
)
def test_channel_can_be_read(write: Write, channel: str) -> None:
    """Of each kind that Salesforce has."""
    assert mistakes(write, channel) == ""


@pytest.mark.parametrize(
    ("channel", "meant"),
    [
        ("/data/Invoice__c", "/data/Invoice__ChangeEvent"),
        ("/data/Invoice__cChangeEvent", "/data/Invoice__ChangeEvent"),
        ("/data/Invoice__c__ChangeEvent", "/data/Invoice__ChangeEvent"),
        ("Invoice__c", "/data/Invoice__ChangeEvent"),
        ("/data/acme__Invoice__c", "/data/acme__Invoice__ChangeEvent"),
        ("Account", "/data/AccountChangeEvent"),
        ("/data/Account", "/data/AccountChangeEvent"),
        ("/data/AccountChangeEvents", "/data/AccountChangeEvent"),
        ("/data/ChangeEvent", "/data/ChangeEvents"),
        ("/data/Order_Placed__e", "/event/Order_Placed__e"),
        ("Order_Placed__e", "/event/Order_Placed__e"),
    ],
)
def test_name_of_an_object_is_refused_with_its_channel(write: Write, channel: str, meant: str) -> None:
    """Salesforce would refuse it only at the start, and not say what is wrong."""
    assert mistakes(write, channel) == f"4: channels.0: found '{channel}'; must be {meant}"


@pytest.mark.parametrize(
    "channel",
    [
        "/topic/",
        "/topic/a/b",
        "/topic/1st",
        "'/topic/X?'",
        "'/topic/X?Status__c'",
        "'/topic/X?Status__c='",
        "\"/topic/X?A='1'&\"",
        "/u/",
        "/u//a",
        "/u/_a",
        "'/data/ChangeEvents?A=1'",
        "/meta/connect",
    ],
)
def test_path_of_no_channel_is_refused(write: Write, channel: str) -> None:
    """With an example of each kind."""
    message = mistakes(write, channel)

    assert message.startswith("4: channels.0: found ")
    assert message.endswith(
        "must look like /data/ChangeEvents, /data/AccountChangeEvent, /event/Order_Placed__e, "
        "/topic/OpenInvoices or /u/notifications/Orders"
    )


def test_filter_in_a_list_between_brackets_needs_quotes(write: Write) -> None:
    """PyYAML reads its question mark as a sign of its own there."""
    message = mistakes(write, "/topic/OpenInvoices?Region__c='North'")

    assert message.endswith("between [ and ] or { and } a text with a ? needs quotes")


@pytest.mark.parametrize("path", ["/topic/OpenInvoices", "/u/Demo"])
def test_streaming_api_alone_serves_topics(write: Write, path: str) -> None:
    """A transport that does not have the channel is a mistake of the configuration."""
    message = mistakes(write, f"{{path: {path}, transport: pubsub}}")

    assert message == (
        "4: channels.0.transport: found 'pubsub'; must be cometd or absent: the Pub/Sub API does not "
        "serve PushTopics and generic channels"
    )
    assert mistakes(write, f"{{path: {path}, transport: cometd}}") == ""


@pytest.mark.parametrize(
    ("channel", "transport"),
    [
        ("/topic/OpenInvoices", Transport.COMETD),
        ("/u/Demo", Transport.COMETD),
        ("/data/ChangeEvents", Transport.PUBSUB),
    ],
)
def test_default_of_the_org_is_for_channels_that_have_it(
    write: Write, channel: str, transport: Transport
) -> None:
    """The others are simply read over the Streaming API."""
    text = GOOD.replace("org:\n", "org:\n  transport: pubsub\n").replace("/data/ChangeEvents", channel)
    path = write(text.replace("salesforce.cdc.Opportunity.updated", "'*'"))
    settings = load(load_document([path], {}))

    assert [settings.transport_of(each) for each in settings.channels] == [transport]


@pytest.mark.parametrize(
    "start",
    ["earliest", "snapshot", "{since: 2025-01-31T09:30:00Z}", "{since: 2025-01-31 09:30:00+02:00}"],
)
def test_start_of_a_channel(write: Write, start: str) -> None:
    """A word or a time."""
    assert mistakes(write, f"{{path: /data/ChangeEvents, start: {start}}}") == ""


@pytest.mark.parametrize(
    ("path", "start", "told"),
    [
        ("/event/X__e", "snapshot", "found 'snapshot'; must be latest, earliest or a time: snapshot works"),
        ("/topic/X", "snapshot", "found 'snapshot'; must be latest, earliest or a time: snapshot works"),
        (
            "/data/ChangeEvents",
            "2025-01-31T09:30:00Z",
            "; must be latest, earliest, snapshot or a time as in",
        ),
        ("/data/ChangeEvents", "[since]", "must be latest, earliest, snapshot or a time as in {since: 2026-"),
        ("/data/ChangeEvents", "{}", "start.since: is missing"),
        ("/data/ChangeEvents", "{sins: 5}", "start.sins: no such key; did you mean since? allowed: since"),
        (
            "/data/ChangeEvents",
            "{since: soon}",
            "start.since: found 'soon'; must be a time such as 2026-01-3",
        ),
        (
            "/data/ChangeEvents",
            "{since: 2025-01-31T09:30:00}",
            "; must be a time with a zone, such as 2026-0",
        ),
        ("/data/ChangeEvents", "{since: 1999-12-31T09:30:00Z}", "; must be a time since 2000"),
        ("/data/ChangeEvents", "{since: 9999-01-31T09:30:00Z}", "; must not be in the future; to begin "),
    ],
)
def test_start_that_can_not_be_is_refused(write: Write, path: str, start: str, told: str) -> None:
    """With what can be in its place."""
    message = mistakes(write, f"{{path: {path}, start: {start}}}")

    assert message.startswith("4: channels.0.start")
    assert told in message
