"""Ends of sessions: silence, cookies and strangers."""

from http.cookies import SimpleCookie

import pytest

from streamer.sandbox.cometd import CometdLimits
from tests.unit.sandbox.cometd.conftest import PATHS, Client, Streaming
from tests.waiting import until

UNKNOWN = {
    "channel": "/meta/connect",
    "id": "7",
    "successful": False,
    "error": "403::Unknown client",
    "advice": {"interval": 0, "reconnect": "handshake"},
}


async def test_session_ends_40_seconds_after_its_last_answer(
    streaming: Streaming, subscribed: Client
) -> None:
    """A client that does not reconnect in time is unknown, and its subscriptions are gone."""
    await streaming.clock.turn(40.5)
    assert await subscribed.connect() == [UNKNOWN]
    await subscribed.open_again()
    streaming.publish()
    [reply] = await subscribed.connect(advice={"timeout": 0})
    assert reply["successful"]


async def test_any_request_begins_the_40_seconds_anew(streaming: Streaming, subscribed: Client) -> None:
    """A subscription keeps a session alive just as a connect does."""
    for _ in range(3):
        await streaming.clock.turn(30)
        assert (await subscribed.subscribe(PATHS[1]))["successful"]


async def test_held_connect_keeps_its_session(streaming: Streaming, subscribed: Client) -> None:
    """The 40 seconds begin with the answer."""
    connect = await streaming.held(subscribed.connect())
    await streaming.clock.turn(100)
    assert streaming.cometd.clients == 1
    await streaming.clock.turn(11)
    await connect
    await streaming.clock.turn(39)
    ids = streaming.publish()
    assert await subscribed.replay_ids() == ids


async def test_routing_cookie_lapses_after_three_hours(streaming: Streaming, subscribed: Client) -> None:
    """The balancer picks a node without the session, and sends a fresh cookie."""
    for _ in range(98):
        connect = await streaming.held(subscribed.connect())
        await streaming.clock.turn(110.1)
        assert (await connect)[0]["successful"]
    await streaming.clock.turn(30)
    response = await subscribed.post([subscribed.message("connect", connectionType="long-polling")])
    assert await response.json() == [UNKNOWN]
    assert "sfdc-stream" in response.cookies
    await subscribed.open()


async def test_client_without_cookies_is_told_so(subscribed: Client) -> None:
    """The text names the client, because this is the commonest mistake of a new client."""
    subscribed.http.cookie_jar.clear()
    [reply] = await subscribed.connect()
    assert reply["error"] == (
        f"400::Client {subscribed.client_id} has established a session, but no BAYEUX_BROWSER cookie present"
    )


async def test_client_without_routing_cookie_is_unknown(subscribed: Client) -> None:
    """Without it the balancer picks another node."""
    subscribed.http.cookie_jar.clear(lambda cookie: cookie.key == "sfdc-stream")
    assert await subscribed.connect() == [UNKNOWN]


async def test_session_of_another_browser_is_unknown(streaming: Streaming, subscribed: Client) -> None:
    """A client id alone does not open a session."""
    stranger = await streaming.client()
    await stranger.open()
    stranger.client_id = subscribed.client_id
    assert await stranger.connect() == [UNKNOWN]
    assert streaming.cometd.clients == 2


async def test_handshake_keeps_the_browser_cookie(subscribed: Client) -> None:
    """The cookie is set once; a second session of the same jar shares it."""
    response = await subscribed.post(
        {"channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["long-polling"]}
    )
    assert response.cookies == SimpleCookie()


async def test_unknown_client_on_subscribe_names_no_subscription(subscribed: Client) -> None:
    """The refusal carries handshake advice and no channel that a client could pick out."""
    subscribed.client_id = "deadbeef"
    reply = await subscribed.subscribe(PATHS[0])
    assert reply == {**UNKNOWN, "channel": "/meta/subscribe"}


@pytest.mark.parametrize("limits", [CometdLimits(reconnect_s=5, hold_s=10)])
async def test_timers_are_settings(streaming: Streaming, subscribed: Client) -> None:
    """A sandbox on the machine's clock can have shorter ones."""
    connect = await streaming.held(subscribed.connect())
    await streaming.clock.turn(10.1)
    assert (await connect)[0]["successful"]
    await streaming.clock.turn(5.1)
    await until(lambda: streaming.cometd.clients == 0)
