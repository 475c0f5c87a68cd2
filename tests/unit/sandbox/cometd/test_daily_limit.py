"""The day's delivered events, as they are used up by clients of the CometD server."""

from streamer.sandbox.usage import DAY_S, HOUR_S
from tests.unit.sandbox.cometd.conftest import PATHS, Client, Streaming

CHANGES, _, TOPIC = PATHS
USED_UP = "403::Organization total events daily limit exceeded"


async def test_clients_are_refused_until_usage_falls(streaming: Streaming, subscribed: Client) -> None:
    """Exactly as many events are delivered as remain; the rest waits for them."""
    streaming.usage.delivered_events.most = 3
    ids = streaming.publish(5)
    assert await subscribed.replay_ids() == ids[:3]
    for _ in range(2):
        [reply] = await subscribed.connect()
        assert (reply["error"], reply["advice"]["reconnect"]) == (USED_UP, "none")
    assert (await subscribed.subscribe(CHANGES, ids[2]))["error"] == USED_UP
    streaming.clock.jump(DAY_S)
    await subscribed.open(CHANGES, ids[2])
    assert await subscribed.replay_ids() == ids[3:]


async def test_use_is_summed_over_clients(streaming: Streaming, subscribed: Client) -> None:
    """A lost answer counts as well, since its events count as delivered."""
    other = await streaming.client()
    await other.open()
    streaming.publish(2)
    await subscribed.replay_ids()
    streaming.clock.jump(HOUR_S / 100)
    await other.replay_ids()
    assert streaming.usage.delivered_events.used == 4


async def test_a_held_connect_is_refused_when_an_event_arrives(
    streaming: Streaming, subscribed: Client
) -> None:
    """Although others have used up the allowance meanwhile, the event is not lost."""
    held = await streaming.held(subscribed.connect())
    streaming.usage.delivered_events.use(streaming.usage.delivered_events.most)
    [replay_id] = streaming.publish()
    [reply] = await held
    assert reply["error"] == USED_UP
    streaming.clock.jump(DAY_S)
    await subscribed.open(CHANGES, -2)
    assert await subscribed.replay_ids() == [replay_id]


async def test_push_topics_have_an_allowance_of_their_own(streaming: Streaming, client: Client) -> None:
    """A client that is subscribed to nothing else goes on."""
    await client.open(TOPIC)
    streaming.usage.delivered_events.most = 0
    ids = streaming.publish(2, TOPIC)
    assert await client.replay_ids() == ids
    assert (await client.subscribe(TOPIC))["successful"]
    assert (await client.subscribe(CHANGES))["error"] == USED_UP
    assert (streaming.usage.push_topic_events.used, streaming.usage.delivered_events.used) == (2, 0)
