"""Faults that end a session or refuse a request, each in Salesforce's wire form."""

from typing import Any

import pytest

from streamer.sandbox.bayeux import SERVER_BUSY
from tests.unit.sandbox.cometd.conftest import PATHS, Client, Streaming

CHANGES = PATHS[0]
UNKNOWN_CLIENT = "403::Unknown client"


async def test_expired_session_is_refused_until_there_is_a_new_token(
    streaming: Streaming, subscribed: Client
) -> None:
    """The token itself has expired, for connects, handshakes and all."""
    streaming.faults.expire_session()
    [reply] = await subscribed.connect()
    assert (reply["error"], reply["advice"]["reconnect"]) == ("401::Authentication invalid", "none")
    denied = await subscribed.handshake()
    assert denied["ext"]["sfdc"]["failureReason"] == "401::Authentication invalid"
    subscribed.token = "Bearer renewed"
    assert (await subscribed.handshake())["successful"]
    assert streaming.faults.struck["expire_session"] == 1


async def test_forgotten_client_needs_a_handshake_and_no_token(
    streaming: Streaming, subscribed: Client
) -> None:
    """The session and its subscriptions are gone, the token is good."""
    streaming.faults.forget_client()
    [reply] = await subscribed.connect()
    assert reply["error"] == UNKNOWN_CLIENT
    assert streaming.cometd.clients == 0
    await subscribed.open()


async def test_lapsed_cookie_comes_with_a_fresh_one(streaming: Streaming, subscribed: Client) -> None:
    """The client's next handshake is on another node."""
    streaming.faults.lapse_cookie()
    response = await subscribed.post([subscribed.message("connect", connectionType="long-polling")])
    assert (await response.json())[0]["error"] == UNKNOWN_CLIENT
    assert "sfdc-stream" in response.cookies
    await subscribed.open()
    assert streaming.faults.struck["lapse_cookie"] == 1


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("expire_session", "401::Authentication invalid"),
        ("forget_client", UNKNOWN_CLIENT),
        ("lapse_cookie", UNKNOWN_CLIENT),
        ("busy", "401::Authentication invalid"),
        ("daily_limit", "403::Organization total events daily limit exceeded"),
    ],
)
async def test_fault_strikes_a_held_connect_at_once(
    streaming: Streaming, subscribed: Client, name: str, error: str
) -> None:
    """It needs neither an event nor a turn of the clock."""
    connect = await streaming.held(subscribed.connect())
    streaming.faults.arm(name, {})
    [reply] = await connect
    assert reply["error"] == error
    assert streaming.faults.struck[name] == 1


@pytest.mark.parametrize("name", ["expire_session", "forget_client", "lapse_cookie", "busy", "disconnect"])
async def test_fault_strikes_in_the_middle_of_a_stream(
    streaming: Streaming, subscribed: Client, name: str
) -> None:
    """Exactly so many events are delivered before it, and no event is lost by it."""
    ids = streaming.publish(10)
    streaming.faults.arm(name, {"after_events": 4})
    assert await subscribed.replay_ids() == ids[:4]
    assert await subscribed.replay_ids() == []
    subscribed.token = "Bearer renewed"
    await subscribed.open(CHANGES, ids[3])
    assert await subscribed.replay_ids() == ids[4:]
    assert (streaming.faults.struck[name], streaming.faults.lost) == (1, 0)


async def test_busy_server_hides_it_in_the_failure_reason(streaming: Streaming, subscribed: Client) -> None:
    """`error` claims that the token is bad, which it is not."""
    streaming.faults.busy(on=["connect", "subscribe"], times=2)
    [reply] = await subscribed.connect()
    assert reply["error"] == "401::Authentication invalid"
    assert reply["ext"]["sfdc"]["failureReason"] == SERVER_BUSY
    assert reply["advice"] == {"reconnect": "none", "interval": 0}
    reply = await subscribed.subscribe(CHANGES)
    assert reply["ext"]["sfdc"]["failureReason"] == SERVER_BUSY
    assert (await subscribed.subscribe(CHANGES))["successful"]


async def test_busy_handshake(streaming: Streaming, client: Client) -> None:
    """A fault for handshakes leaves connects alone, and counts down."""
    streaming.faults.busy(on=["handshake"], error="403::Handshake denied", times=2)
    for _ in range(2):
        reply = await client.handshake()
        assert reply["error"] == "403::Handshake denied"
        assert reply["ext"]["sfdc"]["failureReason"] == SERVER_BUSY
    assert (await client.handshake())["successful"]


async def test_denied_handshake(streaming: Streaming, client: Client) -> None:
    """Only the failure reason names too many connections."""
    streaming.faults.handshake_denied()
    reply = await client.handshake()
    assert reply["error"] == "403::Handshake denied"
    assert "simultaneous connections per server" in reply["ext"]["sfdc"]["failureReason"]


async def test_daily_limit_lasts_until_healed(streaming: Streaming, subscribed: Client) -> None:
    """Connects and subscriptions are refused; the session survives."""
    streaming.faults.daily_limit()
    for _ in range(2):
        [reply] = await subscribed.connect()
        assert reply["error"] == "403::Organization total events daily limit exceeded"
    assert not (await subscribed.subscribe(CHANGES))["successful"]
    streaming.faults.heal("daily_limit")
    ids = streaming.publish()
    assert await subscribed.replay_ids() == ids
    assert streaming.faults.struck["daily_limit"] == 3


async def test_denied_subscription_spares_other_channels(streaming: Streaming, subscribed: Client) -> None:
    """A path and a text make any refusal of the documentation."""
    streaming.faults.deny_subscription(PATHS[1], error="403::User not enabled for streaming")
    assert (await subscribed.subscribe(CHANGES))["successful"]
    reply = await subscribed.subscribe(PATHS[1])
    assert reply["error"] == "403::User not enabled for streaming"
    assert (await subscribed.subscribe(PATHS[1]))["successful"]


async def test_refused_replay_id_strikes_only_where_one_is_given(
    streaming: Streaming, subscribed: Client
) -> None:
    """A valid id is refused as invalid; -1 and -2 can't be."""
    [replay_id] = streaming.publish()
    streaming.faults.refuse_replay_id()
    assert (await subscribed.subscribe(CHANGES, -2))["successful"]
    reply = await subscribed.subscribe(CHANGES, replay_id)
    assert reply["error"].startswith(f"400::The replayId {{{replay_id}}} you provided was invalid.  Please")
    assert (await subscribed.subscribe(CHANGES, replay_id))["successful"]


async def test_server_disconnects_alone(streaming: Streaming, subscribed: Client) -> None:
    """The held connect is answered by a `/meta/disconnect` and nothing else."""
    connect = await streaming.held(subscribed.connect())
    streaming.faults.disconnect()
    assert await connect == [
        {"channel": "/meta/disconnect", "clientId": subscribed.client_id, "successful": True}
    ]
    assert streaming.cometd.clients == 0


async def test_server_disconnects_with_a_successful_reply(streaming: Streaming, subscribed: Client) -> None:
    """The second form is a success with advice not to reconnect."""
    streaming.faults.disconnect(form="with_reply")
    farewell, reply = await subscribed.connect()
    assert farewell["channel"] == "/meta/disconnect"
    assert reply["successful"]
    assert reply["advice"]["reconnect"] == "none"


async def test_older_endpoints_are_not_disconnected(streaming: Streaming) -> None:
    """Servers do so from version 64.0 on, so a fault waits for such a client."""
    client = await streaming.client("63.0")
    await client.open()
    streaming.faults.disconnect()
    ids = streaming.publish()
    assert await client.replay_ids() == ids
    assert streaming.faults.struck["disconnect"] == 0


async def test_advice_can_be_any(streaming: Streaming, subscribed: Client) -> None:
    """The next replies carry it, and later ones carry none."""
    advice: dict[str, Any] = {"interval": 2000, "multiple-clients": True, "reconnect": "retry"}
    streaming.faults.advise(advice)
    streaming.publish()
    assert (await subscribed.connect())[-1]["advice"] == advice
    streaming.publish()
    assert "advice" not in (await subscribed.connect())[-1]


async def test_stream_reset_invalidates_positions(streaming: Streaming, subscribed: Client) -> None:
    """An org's refresh makes every stored replay id invalid; later events flow."""
    [replay_id] = streaming.publish()
    streaming.faults.reset_stream()
    reply = await subscribed.subscribe(CHANGES, replay_id)
    assert "you provided was invalid" in reply["error"]
    ids = streaming.publish()
    assert await subscribed.replay_ids() == ids
