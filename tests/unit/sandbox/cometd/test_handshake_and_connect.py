"""Handshakes, first connects and held ones."""

import asyncio

import pytest

from streamer.sandbox.bayeux import CONCURRENT_LIMIT
from streamer.sandbox.cometd import CometdLimits
from tests.unit.sandbox.cometd.conftest import Client, Streaming
from tests.waiting import until


async def test_handshake_offers_replay_and_long_polling_only(client: Client) -> None:
    """A client that sends no `ext` still learns that replay is supported."""
    reply = await client.handshake()
    client_id = reply.pop("clientId")
    assert client_id.isalnum()
    assert reply == {
        "channel": "/meta/handshake",
        "id": "1",
        "successful": True,
        "version": "1.0",
        "minimumVersion": "1.0",
        "supportedConnectionTypes": ["long-polling"],
        "ext": {"replay": True, "payload.format": True},
    }


async def test_handshake_sets_both_cookies(streaming: Streaming, client: Client) -> None:
    """The browser's cookie is hidden from scripts, the routing cookie has an end."""
    response = await client.post(
        {"channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["long-polling"]}
    )
    assert response.cookies["BAYEUX_BROWSER"]["httponly"]
    assert response.cookies["sfdc-stream"]["max-age"] == "10800"
    assert response.cookies["sfdc-stream"]["path"] == "/"
    assert streaming.cometd.clients == 1


async def test_websocket_is_refused(client: Client) -> None:
    """Salesforce speaks long-polling alone."""
    reply = await client.handshake(supportedConnectionTypes=["websocket"])
    assert reply["error"] == "400::Invalid connection type {websocket}"
    assert not reply["successful"]


async def test_connect_by_another_transport_is_refused(subscribed: Client) -> None:
    """A session can't change to another transport either."""
    [reply] = await subscribed.meta("connect", connectionType="callback-polling")
    assert reply["error"] == "400::Invalid connection type {callback-polling}"


async def test_handshake_without_token_says_so_in_the_failure_reason(client: Client) -> None:
    """`error` only says that it was denied."""
    client.token = None
    reply = await client.handshake()
    assert reply["error"] == "403::Handshake denied"
    assert reply["ext"]["sfdc"] == {"failureReason": "401::Request requires authentication"}
    assert reply["advice"] == {"reconnect": "none"}


async def test_handshake_with_bad_token_is_denied(streaming: Streaming, client: Client) -> None:
    """An invalid token is refused differently from a missing one."""
    streaming.revoked.add("Bearer good")
    reply = await client.handshake()
    assert reply["ext"]["sfdc"] == {"failureReason": "401::Authentication invalid"}


async def test_first_connect_returns_at_once_with_advice(client: Client) -> None:
    """Only the first successful connect advises."""
    await client.handshake()
    [reply] = await client.connect()
    assert reply == {
        "channel": "/meta/connect",
        "id": "7",
        "clientId": client.client_id,
        "successful": True,
        "advice": {"interval": 0, "timeout": 110_000, "reconnect": "retry"},
    }


async def test_idle_connect_is_answered_after_110_seconds(streaming: Streaming, subscribed: Client) -> None:
    """The server holds a connect for 110 s, then answers with nothing and no advice."""
    connect = await streaming.held(subscribed.connect())
    await streaming.clock.turn(109.9)
    assert not connect.done()
    await streaming.clock.turn(0.2)
    [reply] = await connect
    assert reply["successful"]
    assert "advice" not in reply


async def test_client_may_ask_for_a_shorter_hold(subscribed: Client) -> None:
    """A connect with a timeout of zero is answered at once with the events that are due."""
    [reply] = await subscribed.connect(advice={"timeout": 0})
    assert reply["successful"]


async def test_held_connect_wakes_when_an_event_comes(streaming: Streaming, subscribed: Client) -> None:
    """An event ends the long poll without any time passing."""
    connect = await streaming.held(subscribed.replay_ids())
    ids = streaming.publish()
    assert await connect == ids


async def test_held_connect_ignores_other_channels(streaming: Streaming, subscribed: Client) -> None:
    """Only subscribed channels end a long poll."""
    connect = await streaming.held(subscribed.connect())
    streaming.publish(path="/event/Order_Placed__e")
    await asyncio.sleep(0.02)
    assert not connect.done()
    connect.cancel()


async def test_connect_among_other_messages_is_not_held(subscribed: Client) -> None:
    """A request with several messages is answered at once, one reply for each, in order."""
    connect = subscribed.message("connect", connectionType="long-polling")
    replies = await subscribed.send(connect, subscribed.message("unsubscribe", subscription="/topic/X"))
    assert [reply["channel"] for reply in replies] == ["/meta/connect", "/meta/unsubscribe"]


async def test_second_connect_ends_the_first(streaming: Streaming, subscribed: Client) -> None:
    """There is one outstanding connect: the earlier one ends with HTTP 500 and HTML."""
    body = subscribed.message("connect", connectionType="long-polling")
    first = await streaming.held(subscribed.post([body]))
    second = asyncio.ensure_future(subscribed.replay_ids())
    response = await first
    assert (response.status, response.content_type) == (500, "text/html")
    ids = streaming.publish()
    assert await second == ids


async def test_revoked_token_ends_a_held_connect(streaming: Streaming, subscribed: Client) -> None:
    """Revoking a token wakes the server, which answers the connect with its 401 form."""
    connect = await streaming.held(subscribed.connect())
    streaming.revoked.add("Bearer good")
    streaming.cometd.wake()
    [reply] = await connect
    assert reply["error"] == "401::Authentication invalid"
    assert reply["advice"] == {"reconnect": "none", "interval": 0}


async def test_id_is_echoed_as_it_was_given(subscribed: Client) -> None:
    """A numeric id stays a number."""
    [reply] = await subscribed.send({**subscribed.message("unsubscribe", subscription="/u/x"), "id": 12})
    assert reply["id"] == 12


async def test_disconnect_ends_the_session_and_its_held_connect(
    streaming: Streaming, subscribed: Client
) -> None:
    """The goodbye is confirmed, the long poll let go."""
    connect = await streaming.held(subscribed.connect())
    [reply] = await subscribed.meta("disconnect")
    assert reply == {
        "channel": "/meta/disconnect",
        "id": "7",
        "clientId": subscribed.client_id,
        "successful": True,
    }
    [farewell] = await connect
    assert farewell["advice"]["reconnect"] == "none"
    assert streaming.cometd.clients == 0


@pytest.mark.parametrize("limits", [CometdLimits(clients=1)])
async def test_client_beyond_the_limit_is_denied(streaming: Streaming, subscribed: Client) -> None:
    """An org has a limit of concurrent clients."""
    reply = await (await streaming.client()).handshake()
    assert reply["ext"]["sfdc"] == {"failureReason": CONCURRENT_LIMIT}
    await subscribed.meta("disconnect")
    assert (await (await streaming.client()).handshake())["successful"]


async def test_two_sessions_of_one_browser_are_told_to_poll(streaming: Streaming, subscribed: Client) -> None:
    """While one holds a connect, the other is answered at once and advised to come every 2 s."""
    await streaming.held(subscribed.connect())
    other = Client(subscribed.http, subscribed.url)
    await other.open()
    [reply] = await other.connect()
    assert reply["advice"]["multiple-clients"] is True
    assert reply["advice"]["interval"] == 2000


async def test_abandoned_session_of_the_browser_does_not_count(
    streaming: Streaming, subscribed: Client
) -> None:
    """A client that shakes hands again shares its cookie with no connect in progress, and is held."""
    await subscribed.open()
    connect = await streaming.held(subscribed.connect())
    ids = streaming.publish()
    event, reply = await connect
    assert event["data"]["event"]["replayId"] == ids[0]
    assert "advice" not in reply


@pytest.mark.parametrize("limits", [CometdLimits(first_advice={"interval": 2000, "multiple-clients": True})])
async def test_first_advice_can_be_the_documented_sample(client: Client) -> None:
    """The documented sample of the advice differs from that of real servers."""
    await client.handshake()
    [reply] = await client.connect()
    assert reply["advice"] == {"interval": 2000, "multiple-clients": True}


async def test_stopping_server_does_not_wait_for_held_connects(
    streaming: Streaming, subscribed: Client
) -> None:
    """Closing ends every session."""
    connect = await streaming.held(subscribed.connect())
    await streaming.cometd.close()
    [reply] = await connect
    assert reply["error"] == "403::Unknown client"
    await until(lambda: streaming.cometd.clients == 0)
