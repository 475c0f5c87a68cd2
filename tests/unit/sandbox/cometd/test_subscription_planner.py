"""Subscriptions: replay ids, names and refusals."""

import re
from typing import Any

import pytest

from streamer.sandbox.org.bus import HOUR_S
from tests.unit.sandbox.cometd.conftest import PATHS, Client, Streaming

CHANGES, ORDERS, INVOICES = PATHS

NOT_FOUND = (
    "400::The replayId for channel {/data/ChangeEvents} wasn't found using the provided replay ID map "
    "{{/data/ChangeEvents=null}}. Ensure that the channel name you provided in the replay map is valid and "
    "matches the channel name used for subscribing."
)


@pytest.fixture
async def connected(client: Client) -> Client:
    """A client that has connected once and subscribed to nothing."""
    await client.handshake()
    await client.connect()
    return client


async def test_success_repeats_the_subscription(connected: Client) -> None:
    """The reply names the subscribed channel."""
    assert await connected.subscribe(CHANGES) == {
        "channel": "/meta/subscribe",
        "id": "7",
        "clientId": connected.client_id,
        "subscription": CHANGES,
        "successful": True,
    }


async def test_minus_one_starts_with_new_events(streaming: Streaming, connected: Client) -> None:
    """Earlier events are not sent."""
    streaming.publish(3)
    await connected.subscribe(CHANGES, -1)
    ids = streaming.publish(2)
    assert await connected.replay_ids() == ids


async def test_minus_two_starts_with_all_retained(streaming: Streaming, connected: Client) -> None:
    """All retained events are sent, and then new ones."""
    ids = streaming.publish(3)
    await connected.subscribe(CHANGES, -2)
    assert await connected.replay_ids() == ids


async def test_replay_id_starts_strictly_after_it(streaming: Streaming, connected: Client) -> None:
    """The event of the id itself is not repeated."""
    ids = streaming.publish(4)
    await connected.subscribe(CHANGES, ids[1])
    assert await connected.replay_ids() == ids[2:]


async def test_without_replay_map_only_new_events_come(streaming: Streaming, connected: Client) -> None:
    """No `ext` means -1."""
    streaming.publish()
    await connected.meta("subscribe", subscription=CHANGES)
    ids = streaming.publish()
    assert await connected.replay_ids() == ids


async def test_empty_replay_map_is_none(streaming: Streaming, connected: Client) -> None:
    """Only new events come."""
    streaming.publish()
    [reply] = await connected.meta("subscribe", subscription=CHANGES, ext={"replay": {}})
    assert reply["successful"]
    ids = streaming.publish()
    assert await connected.replay_ids() == ids


async def test_map_may_hold_other_channels(streaming: Streaming, connected: Client) -> None:
    """Clients send their whole map with each subscription."""
    ids = streaming.publish(2)
    replay = {ORDERS: -1, CHANGES: ids[0], "/event/Unknown__e": 9}
    [reply] = await connected.meta("subscribe", subscription=CHANGES, ext={"replay": replay})
    assert reply["successful"]
    assert await connected.replay_ids() == ids[1:]


@pytest.mark.parametrize("replay", [{CHANGES: None}, {ORDERS: 1}, {CHANGES: "1"}, {CHANGES: True}, 5])
async def test_map_without_number_for_the_channel_is_refused(connected: Client, replay: Any) -> None:
    """A null, another name and no name differ only in the map that the text shows."""
    [reply] = await connected.meta("subscribe", subscription=CHANGES, ext={"replay": replay})
    assert not reply["successful"]
    assert reply["error"].startswith("400::The replayId for channel {/data/ChangeEvents} wasn't found using")
    if replay == {CHANGES: None}:
        assert reply["error"] == NOT_FOUND


@pytest.mark.parametrize("replay_id", [-3, 0, 999_999])
async def test_id_never_issued_is_invalid(streaming: Streaming, connected: Client, replay_id: int) -> None:
    """The braces and the two spaces of the text are literal."""
    streaming.publish()
    reply = await connected.subscribe(CHANGES, replay_id)
    assert reply["subscription"] == CHANGES
    assert reply["error"] == (
        f"400::The replayId {{{replay_id}}} you provided was invalid.  Please provide a valid ID, "
        "-2 to replay all events, or -1 to replay only new events."
    )


async def test_id_older_than_72_hours_is_invalid(streaming: Streaming, connected: Client) -> None:
    """A quiet channel's position expires with its retention."""
    ids = streaming.publish(2)
    await streaming.clock.turn(72 * HOUR_S + 1)
    await connected.open_again()
    reply = await connected.subscribe(CHANGES, ids[0])
    assert re.match(r"400::The replayId \{\d+\} you provided was invalid", reply["error"])


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (None, "400::Channel name not specified"),
        ("", "400::Channel name not specified"),
        ([], "400::Channel name not specified"),
        ("data/ChangeEvents", "400::Channel subscriptions must start with a leading '/'"),
        ("/event/Nope__e", "403::Cannot create channel {/event/Nope__e}"),
    ],
)
async def test_bad_name_is_refused(connected: Client, name: Any, error: str) -> None:
    """Each mistake in a name has its own text; the org decides about unknown channels."""
    [reply] = await connected.meta("subscribe", subscription=name)
    assert reply["error"] == error


async def test_bulk_subscription_has_a_reply_for_each(streaming: Streaming, connected: Client) -> None:
    """An array of subscribe messages is several subscriptions, and a refusal spares the others."""
    names = (CHANGES, "/event/Nope__e", ORDERS)
    replies = await connected.send(*(connected.message("subscribe", subscription=n) for n in names))
    assert [reply["successful"] for reply in replies] == [True, False, True]
    ids = streaming.publish(1, CHANGES) + streaming.publish(1, ORDERS)
    assert await connected.replay_ids() == ids


async def test_list_of_channels_has_one_reply_with_the_list(streaming: Streaming, connected: Client) -> None:
    """One subscribe may name several channels, its replay map too."""
    ids = streaming.publish(1, CHANGES) + streaming.publish(1, ORDERS)
    replay = {CHANGES: -2, ORDERS: -2}
    [reply] = await connected.meta("subscribe", subscription=[CHANGES, ORDERS], ext={"replay": replay})
    assert reply["subscription"] == [CHANGES, ORDERS]
    assert await connected.replay_ids() == ids


async def test_filter_of_a_push_topic_is_not_in_the_replay_map(
    streaming: Streaming, connected: Client
) -> None:
    """The map's key has no query string, and `&` between the filters means "or"."""
    for status in ("Open", "Paid", "Void"):
        streaming.bus.publish([INVOICES], {"sobject": {"Id": "a00", "Status__c": status}})
    name = f"{INVOICES}?Status__c='Paid'&Status__c='Void'"
    await connected.meta("subscribe", subscription=name, ext={"replay": {INVOICES: -2}})
    events = [message for message in await connected.connect() if "data" in message]
    assert [event["data"]["sobject"]["Status__c"] for event in events] == ["Paid", "Void"]
    assert events[0]["channel"] == INVOICES


async def test_unsubscribed_channel_is_silent(streaming: Streaming, subscribed: Client) -> None:
    """Others go on."""
    await subscribed.subscribe(ORDERS)
    [reply] = await subscribed.meta("unsubscribe", subscription=CHANGES)
    assert reply["successful"]
    assert reply["subscription"] == CHANGES
    streaming.publish(1, CHANGES)
    ids = streaming.publish(1, ORDERS)
    assert await subscribed.replay_ids() == ids


async def test_subscription_during_a_held_connect_wakes_it(streaming: Streaming, connected: Client) -> None:
    """A backlog arrives on the connect that is already held."""
    ids = streaming.publish(2)
    connect = await streaming.held(connected.replay_ids())
    await connected.subscribe(CHANGES, -2)
    assert await connect == ids


async def test_subscribing_without_handshake_is_refused(client: Client) -> None:
    """A message without a client id has no session to belong to."""
    reply = await client.subscribe(CHANGES)
    assert reply["error"] == "403::Client has not completed handshake"
