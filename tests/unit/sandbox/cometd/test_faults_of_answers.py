"""Faults that strike an answer while it is sent, and events in unexpected places."""

import asyncio
import json

import aiohttp
import pytest

from tests.unit.sandbox.cometd.conftest import PATHS, Client, Streaming
from tests.waiting import until

CHANGES = PATHS[0]


async def test_lost_response_counts_as_delivered(streaming: Streaming, subscribed: Client) -> None:
    """A client that keeps its session never sees those events: a silent gap."""
    ids = streaming.publish(3)
    streaming.faults.lose_response()
    with pytest.raises(aiohttp.ClientConnectionError):
        await subscribed.connect()
    ids += streaming.publish(2)
    assert await subscribed.replay_ids() == ids[3:]
    assert (streaming.faults.lost, streaming.cometd.delivered) == (3, 5)


async def test_lost_response_can_be_read_again_from_before_it(
    streaming: Streaming, subscribed: Client
) -> None:
    """A client that shakes hands again from its last position misses nothing."""
    ids = streaming.publish(9)
    streaming.faults.lose_response(after_events=4)
    assert await subscribed.replay_ids() == ids[:4]
    with pytest.raises(aiohttp.ClientConnectionError):
        await subscribed.connect()
    await subscribed.open(CHANGES, ids[3])
    assert await subscribed.replay_ids() == ids[4:]
    assert (streaming.faults.struck["lose_response"], streaming.faults.lost) == (1, 5)


async def test_loss_waits_for_an_answer_with_events(streaming: Streaming, subscribed: Client) -> None:
    """An empty answer is lost only on demand."""
    streaming.faults.lose_response()
    assert (await subscribed.connect(advice={"timeout": 0}))[0]["successful"]
    assert streaming.faults.struck["lose_response"] == 0
    streaming.faults.heal()
    streaming.faults.lose_response(needs_events=False)
    with pytest.raises(aiohttp.ClientConnectionError):
        await subscribed.connect(advice={"timeout": 0})


@pytest.mark.parametrize("how", ["truncated", "reset"])
async def test_answer_breaks_off(streaming: Streaming, subscribed: Client, how: str) -> None:
    """Half of the promised length comes, then the end of the connection."""
    streaming.publish(100)
    streaming.faults.arm("broken_response", {"how": how})
    with pytest.raises(aiohttp.ClientError):
        await subscribed.connect()
    assert (streaming.faults.struck["broken_response"], streaming.faults.lost) == (1, 100)


async def test_answer_is_something_else(streaming: Streaming, subscribed: Client) -> None:
    """A body can be declared as JSON and be none."""
    streaming.publish()
    streaming.faults.broken_response("garbage")
    response = await subscribed.post([subscribed.message("connect", connectionType="long-polling")])
    assert (response.status, response.content_type) == (200, "application/json")
    with pytest.raises(json.JSONDecodeError):
        await response.json()


async def test_half_open_connection_is_silent_until_healed(streaming: Streaming, subscribed: Client) -> None:
    """The events go into the void, no answer comes, and a new session is served meanwhile."""
    ids = streaming.publish(2)
    streaming.faults.half_open()
    connect = asyncio.ensure_future(subscribed.connect())
    await until(lambda: streaming.faults.struck["half_open"] == 1)
    await streaming.clock.turn(500)
    assert not connect.done()
    await subscribed.open(CHANGES, -2)
    assert await subscribed.replay_ids() == ids
    streaming.faults.heal()
    with pytest.raises(aiohttp.ClientConnectionError):
        await connect


async def test_slow_answer_takes_its_time(streaming: Streaming, subscribed: Client) -> None:
    """The delay runs on the sandbox's clock, and loses nothing."""
    ids = streaming.publish()
    streaming.faults.slow(8)
    connect = asyncio.ensure_future(subscribed.replay_ids())
    await until(lambda: streaming.faults.struck["slow"] == 1)
    await streaming.clock.turn(7.9)
    assert not connect.done()
    await streaming.clock.turn(0.2)
    assert await connect == ids


async def test_http_error_has_its_status_and_page(streaming: Streaming, subscribed: Client) -> None:
    """A proxy's page knows nothing of Bayeux, and the request reaches no session."""
    ids = streaming.publish()
    streaming.faults.http_error(502, body="<h1>Bad Gateway</h1>", on=["connect"])
    response = await subscribed.post([subscribed.message("connect", connectionType="long-polling")])
    assert (response.status, response.content_type) == (502, "text/html")
    assert await response.text() == "<h1>Bad Gateway</h1>"
    assert await subscribed.replay_ids() == ids


async def test_events_come_beside_a_failed_connect(streaming: Streaming, subscribed: Client) -> None:
    """They count as delivered although the reply says that the client is unknown, which it then is."""
    [replay_id] = streaming.publish()
    streaming.faults.events_beside_failure()
    event, reply = await subscribed.connect()
    assert event["data"]["event"]["replayId"] == replay_id
    assert (reply["error"], reply["advice"]["reconnect"]) == ("403::Unknown client", "handshake")
    assert streaming.cometd.clients == 0


async def test_events_overtake_the_reply_to_their_subscription(streaming: Streaming, client: Client) -> None:
    """The held connect brings them before the subscribe is answered."""
    await client.open_again()
    ids = streaming.publish(2)
    streaming.faults.events_before_reply()
    order: list[str] = []
    connect = await streaming.held(client.replay_ids())
    connect.add_done_callback(lambda _: order.append("events"))
    await client.subscribe(CHANGES, -2)
    order.append("reply")
    assert await connect == ids
    assert order == ["events", "reply"]


async def test_events_may_come_with_the_reply_to_their_subscription(
    streaming: Streaming, client: Client
) -> None:
    """Where no connect is held, the subscribe's own answer brings them, the reply last."""
    await client.open_again()
    streaming.publish(2)
    streaming.faults.events_before_reply()
    messages = await client.meta("subscribe", subscription=CHANGES, ext={"replay": {CHANGES: -2}})
    assert [message["channel"] for message in messages] == [CHANGES, CHANGES, "/meta/subscribe"]
    assert streaming.cometd.delivered == 2


@pytest.mark.parametrize(("kind", "error"), [("utf8", UnicodeDecodeError), ("json", json.JSONDecodeError)])
async def test_unreadable_event_spoils_the_answer_around_it(
    streaming: Streaming, subscribed: Client, kind: str, error: type[Exception]
) -> None:
    """A client has to find the event that can't be read."""
    streaming.publish()
    streaming.faults.arm("unreadable", {"path": CHANGES, "kind": kind})
    streaming.publish()
    response = await subscribed.post([subscribed.message("connect", connectionType="long-polling")])
    with pytest.raises(error):
        json.loads((await response.read()).decode())
    assert streaming.faults.struck["unreadable"] == 1


async def test_nonsense_event_is_readable_json(streaming: Streaming, subscribed: Client) -> None:
    """Its payload is invalid, and it still has a replay id."""
    streaming.faults.unreadable(CHANGES, kind="nonsense")
    event, _ = await subscribed.connect()
    assert event["data"]["payload"] == "nonsense"
    assert event["data"]["event"]["replayId"] == streaming.bus.newest_replay_id(CHANGES)


async def test_duplicate_has_the_same_uuid_and_a_new_replay_id(
    streaming: Streaming, subscribed: Client
) -> None:
    """Publishing is at least once: only the event's own id shows a duplicate."""
    streaming.bus.publish([CHANGES], {"payload": {}, "event": {"EventUuid": "u-1"}})
    streaming.faults.repeat_last(CHANGES)
    first, second = (message["data"]["event"] for message in (await subscribed.connect())[:2])
    assert first["EventUuid"] == second["EventUuid"] == "u-1"
    assert first["replayId"] < second["replayId"]


async def test_heal_disarms_everything(streaming: Streaming, subscribed: Client) -> None:
    """After healing, no armed fault strikes."""
    streaming.faults.forget_client()
    streaming.faults.lose_response()
    streaming.faults.heal()
    ids = streaming.publish()
    assert await subscribed.replay_ids() == ids
    assert not streaming.faults.armed.faults


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("explode", {}), ("_arm", {}), ("slow", {}), ("slow", {"seconds": "soon"}), ("busy", {"on": ["tea"]})],
)
def test_wrong_fault_is_refused(streaming: Streaming, name: str, parameters: dict[str, object]) -> None:
    """The control API checks a fault's parameters before it arms anything."""
    with pytest.raises(ValueError, match=name):
        streaming.faults.arm(name, parameters)
    assert not streaming.faults.armed.faults
