"""Batches of events in the answers."""

import asyncio
from itertools import pairwise

import pytest

from streamer.sandbox.cometd import CometdLimits
from tests.unit.sandbox.cometd.conftest import PATHS, Client, Streaming

CHANGES, ORDERS, INVOICES = PATHS


async def test_reply_follows_the_events(streaming: Streaming, subscribed: Client) -> None:
    """An answer holds the events of the batch and then the reply to the connect."""
    streaming.publish(2)
    messages = await subscribed.connect()
    assert [message["channel"] for message in messages] == [CHANGES, CHANGES, "/meta/connect"]
    assert messages[1]["data"]["payload"] == {"Number": 1}


@pytest.mark.parametrize("limits", [CometdLimits(connect_reply_first=True)])
async def test_reply_may_come_first(streaming: Streaming, subscribed: Client) -> None:
    """The order of the reply among the events is not promised."""
    streaming.publish(2)
    messages = await subscribed.connect()
    assert [message["channel"] for message in messages] == ["/meta/connect", CHANGES, CHANGES]


async def test_channels_are_interleaved_as_they_were_published(
    streaming: Streaming, subscribed: Client
) -> None:
    """One answer holds the events of all channels in the order of publication."""
    await subscribed.subscribe(ORDERS)
    published = [CHANGES, ORDERS, ORDERS, CHANGES, ORDERS]
    ids = [streaming.publish(1, path)[0] for path in published]
    events = (await subscribed.connect())[:-1]
    assert [event["channel"] for event in events] == published
    assert [event["data"]["event"]["replayId"] for event in events] == ids


@pytest.mark.parametrize("limits", [CometdLimits(response_events=3)])
async def test_batch_is_limited_in_events(streaming: Streaming, subscribed: Client) -> None:
    """A backlog arrives in batches, each on a connect of its own, over all channels."""
    await subscribed.subscribe(ORDERS)
    ids = [streaming.publish(1, path)[0] for path in (CHANGES, ORDERS) * 4]
    assert await subscribed.replay_ids() == ids[:3]
    assert await subscribed.replay_ids() == ids[3:6]
    assert await subscribed.replay_ids() == ids[6:]


@pytest.mark.parametrize("limits", [CometdLimits(response_bytes=2_500)])
async def test_batch_is_limited_in_bytes(streaming: Streaming, subscribed: Client) -> None:
    """A batch stays within its bytes, but a larger event still arrives, alone."""
    sizes = (1_000, 1_000, 1_000, 9_000, 10)
    ids = [streaming.bus.publish([CHANGES], {"payload": "x" * size}) for size in sizes]
    batches = [await subscribed.replay_ids() for _ in range(4)]
    assert batches == [ids[:2], ids[2:3], ids[3:4], ids[4:]]


@pytest.mark.parametrize("limits", [CometdLimits(response_events=100_000, response_bytes=50_000_000)])
async def test_answer_may_exceed_ten_megabytes(streaming: Streaming, subscribed: Client) -> None:
    """A client must cope with large answers."""
    for _ in range(12):
        streaming.bus.publish([CHANGES], {"payload": "x" * 1_000_000})
    response = await subscribed.post([subscribed.message("connect", connectionType="long-polling")])
    assert int(response.headers["Content-Length"]) > 12_000_000
    assert len(await response.json()) == 13


@pytest.mark.parametrize("limits", [CometdLimits(chunked=True, gzip=True)])
async def test_answer_may_be_chunked_and_compressed(streaming: Streaming, subscribed: Client) -> None:
    """The server chooses the transfer of a body."""
    streaming.publish(50)
    response = await subscribed.post([subscribed.message("connect", connectionType="long-polling")])
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(await response.json()) == 51


async def test_burst_is_one_batch(streaming: Streaming, subscribed: Client) -> None:
    """A held connect takes all that is published before the server gets to answer it."""
    connect = await streaming.held(subscribed.replay_ids())
    ids = streaming.publish(5)
    assert await connect == ids


@pytest.mark.parametrize("limits", [CometdLimits(response_events=1)])
async def test_split_events_are_both_delivered_across_batches(
    streaming: Streaming, subscribed: Client
) -> None:
    """A batch can end between two events of one replay id; the next batch brings the other."""
    [shared] = streaming.publish()
    streaming.bus.publish([CHANGES], {"payload": {"half": 2}}, replay_id=shared)
    assert await subscribed.replay_ids() == [shared]
    assert await subscribed.replay_ids() == [shared]


async def test_every_client_gets_every_event(streaming: Streaming, subscribed: Client) -> None:
    """Deliveries are summed over the clients, as the daily allocation is."""
    other = await streaming.client()
    await other.open()
    ids = streaming.publish(3)
    assert await subscribed.replay_ids() == ids == await other.replay_ids()
    assert streaming.cometd.delivered == 6


async def test_event_on_two_subscribed_channels_comes_twice(streaming: Streaming, subscribed: Client) -> None:
    """Each channel delivers the message, under one replay id."""
    await subscribed.subscribe(INVOICES)
    replay_id = streaming.bus.publish([CHANGES, INVOICES], {"payload": {}})
    events = (await subscribed.connect())[:-1]
    assert {event["channel"] for event in events} == {CHANGES, INVOICES}
    assert [event["data"]["event"]["replayId"] for event in events] == [replay_id] * 2


async def test_steady_stream_loses_and_repeats_nothing(streaming: Streaming, subscribed: Client) -> None:
    """However publishing and connecting interleave, each event arrives once, in order."""
    published: list[int] = []

    async def publish() -> None:
        for number in range(60):
            published.extend(streaming.publish(number % 4))
            await asyncio.sleep(0.001)

    publishing = asyncio.ensure_future(publish())
    received: list[int] = []
    while len(received) < 90:
        received += await subscribed.replay_ids()
    await publishing
    assert received == published
    assert all(former < later for former, later in pairwise(received))
