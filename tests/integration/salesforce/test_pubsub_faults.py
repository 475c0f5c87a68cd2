"""Each event enters the log once and in order, however a stream of the Pub/Sub API ends."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping, Sequence
from typing import Any

import pytest
from grpc import StatusCode
from structlog.testing import capture_logs

from streamer.errors import ConfigurationError, ReplayIdRefused, Stop, SubscriptionRefused
from streamer.eventbus import ConsumerEvent, ProducerEvent, ReplayPreset
from streamer.events import HoleCause
from tests.pubsub import World, pubsub_world
from tests.pubsub_server import ORDERS, REFUNDS, End, replay_id


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A scripted server, and a source that reads it."""
    async with pubsub_world() as each:
        yield each


async def begun(world: World, *paths: str) -> None:
    """Read `paths`, until three events of each are in the log."""
    for path in paths:
        world.publish(3, path)
        world.read(path)
    await world.all_read(*paths)


def pauses(lines: Sequence[MutableMapping[str, Any]]) -> list[float]:
    """Return the pauses after losses; with chance fixed, each is half of its ceiling."""
    return [line["tried_again_in_s"] for line in lines if line["event"] == "session.lost"]


def delays(lines: Sequence[MutableMapping[str, Any]]) -> list[float]:
    """Return the pauses after logins that failed."""
    return [line["tried_again_in_s"] for line in lines if line["event"] == "session.delayed"]


async def paused(world: World, pauses: Sequence[float]) -> None:
    """Let each pause pass as soon as the loss before it is noticed; the network takes its own time."""
    known = len(world.losses.reasons)
    for number, pause in enumerate(pauses, start=1):
        await world.until(lambda: len(world.losses.reasons) >= known + number, turning=0)  # noqa: B023 - awaited at once
        await world.clock.turn(pause)


PASSING = {
    "closed": End(),
    "unavailable": End(status=StatusCode.UNAVAILABLE, code="service.unavailable"),
    "unavailable_without_code": End(status=StatusCode.UNAVAILABLE, details="RST_STREAM closed stream"),
    "reset": End(status=StatusCode.INTERNAL, details="Received RST_STREAM with code 0"),
    "internal": End(status=StatusCode.INTERNAL, code="subscription.internal.error"),
    "overflow": End(status=StatusCode.INVALID_ARGUMENT, code="subscription.fetch.overflow"),
    "unknown_code": End(status=StatusCode.ABORTED, code="something.new"),
    "unknown": End(status=StatusCode.UNKNOWN),
    "cancelled": End(status=StatusCode.CANCELLED),
    "expired_token": End(status=StatusCode.UNAUTHENTICATED, code="service.auth.error"),
    "unauthenticated": End(status=StatusCode.UNAUTHENTICATED),
    "busy": End(status=StatusCode.RESOURCE_EXHAUSTED, code="concurrent.client.limit.exceeded"),
    "protection": End(status=StatusCode.UNAVAILABLE, code="service.protection.overload"),
    "corrupted_elsewhere": End(status=StatusCode.DEADLINE_EXCEEDED),
}


@pytest.mark.parametrize("end", PASSING.values(), ids=PASSING)
async def test_stream_that_ended_is_followed_by_another(world: World, end: End) -> None:
    """Within three seconds when the cause is gone at once, from the position in the log."""
    await begun(world, ORDERS)
    with capture_logs() as lines:
        world.server.end(end)
        world.publish(3)
        await world.all_read()

    assert pauses(lines) == [0.5]
    assert len(world.losses.reasons) == 1
    again = world.server.streams[-1].first
    assert (again.replay_preset, again.replay_id) == (ReplayPreset.CUSTOM, replay_id(1))


@pytest.mark.parametrize("end", [PASSING["closed"], PASSING["unavailable"], PASSING["expired_token"]])
async def test_five_ends_in_a_row_are_over_within_a_minute(world: World, end: End) -> None:
    """The pauses double, and the first events after them restart the series."""
    await begun(world, ORDERS)
    world.server.refusals.extend([end] * 5)
    series = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
    with capture_logs() as lines:
        for expected in (series, series[:1]):
            world.server.end(end)
            world.publish(3)
            await paused(world, expected)
            await world.all_read()

    assert pauses(lines) == [*series, 0.5]


async def test_end_in_the_middle_of_a_backlog_repeats_nothing(world: World) -> None:
    """All that was received before it is committed first."""
    world.server.most_events = 10
    world.publish(2_000)
    world.read()
    for _ in range(4):
        await world.until(lambda: world.server.live() and world.server.live()[0].sent > 100, turning=0.01)
        world.server.end(PASSING["unavailable"])
        await world.until(lambda: not world.server.live(), turning=0)
    await world.all_read()

    assert len(world.server.streams) >= 5


async def test_expired_token_is_renewed_once_for_all_channels(world: World) -> None:
    """Salesforce revokes the oldest of a few grants, so each login counts."""
    await begun(world, ORDERS, REFUNDS)
    [token] = {stream.metadata["accesstoken"] for stream in world.server.streams}
    world.server.refused_tokens.add(token)
    for path in (ORDERS, REFUNDS):
        world.server.end(PASSING["expired_token"], path)
        world.publish(2, path)
    await world.all_read(ORDERS, REFUNDS)

    renewed = {stream.metadata["accesstoken"] for stream in world.server.streams[2:]}
    assert len(renewed) == 1
    assert token not in renewed


@pytest.mark.parametrize(
    ("end", "factor", "longest_s"),
    [
        (End(status=StatusCode.RESOURCE_EXHAUSTED, code="concurrent.client.limit.exceeded"), 2, 150.0),
        (End(status=StatusCode.RESOURCE_EXHAUSTED), 2, 150.0),
        (End(status=StatusCode.PERMISSION_DENIED, code="subscription.limit.exceeded"), 900, 1800.0),
    ],
)
async def test_full_server_is_left_alone(world: World, end: End, factor: int, longest_s: float) -> None:
    """For minutes when it is busy, and for longer when the day's allowance is used up."""
    await begun(world, ORDERS)
    series = [min(longest_s, 0.5 * factor**times) for times in range(10)]
    world.server.refusals.extend([end] * 9)
    with capture_logs() as lines:
        world.server.end(end)
        world.publish(1)
        await paused(world, series)
        await world.all_read()

    assert pauses(lines) == series


@pytest.mark.parametrize("code", ["corrupted", "validation.failed", "expired"])
async def test_refused_replay_id_is_for_the_channels_policy(world: World, code: str) -> None:
    """It is recorded, and reading continues where the policy says."""
    await begun(world, ORDERS)
    await world.stop()
    # Whatever the status is: another client's mock sends this one.
    world.server.refusals.append(
        End(status=StatusCode.UNAUTHENTICATED, code=f"subscription.fetch.replayid.{code}")
    )
    world.publish(1)
    world.read(on_refused="latest")
    await world.until(lambda: world.log.continuity)
    world.publish(1)
    await world.until(lambda: world.numbers() == [0, 1, 2, 4])

    assert world.log.continuity[0].cause is HoleCause.REPLAY_ID_REFUSED
    assert world.server.streams[-1].first.replay_preset == ReplayPreset.LATEST


async def test_refused_replay_id_repeats_nothing_that_the_log_holds(world: World) -> None:
    """All that is retained is read again, also when that stream ends on the way."""
    world.server.most_events = 10
    world.publish(300)
    world.read()
    await world.all_read()
    await world.stop()
    corrupted = End(status=StatusCode.INVALID_ARGUMENT, code="subscription.fetch.replayid.corrupted")
    world.server.refusals.extend([corrupted, PASSING["closed"]])
    world.publish(20)
    world.read(on_refused="earliest")
    await world.all_read()

    presets = [stream.first.replay_preset for stream in world.server.streams[1:]]
    assert presets == [ReplayPreset.CUSTOM, ReplayPreset.EARLIEST, ReplayPreset.EARLIEST]
    assert [record.cause for record in world.log.continuity] == [HoleCause.REPLAY_ID_REFUSED]


async def test_replay_id_refused_in_mid_stream_stops_a_channel_that_must_not_go_on(world: World) -> None:
    """Its error names the channel."""
    await begun(world, ORDERS)
    world.server.refusals.append(
        End(status=StatusCode.INVALID_ARGUMENT, code="subscription.fetch.replayid.corrupted")
    )
    world.server.end(PASSING["closed"])

    error = await world.refused()
    assert isinstance(error, ReplayIdRefused)
    assert error.path == ORDERS


@pytest.mark.parametrize(
    "end",
    [
        End(status=StatusCode.NOT_FOUND, code="topic.not.found"),
        End(status=StatusCode.PERMISSION_DENIED, code="topic.not.found"),
        End(status=StatusCode.INVALID_ARGUMENT, code="subscription.topic.cannot.subscribe"),
        End(status=StatusCode.PERMISSION_DENIED),
        # No replay id was sent, so there is none to give up.
        End(status=StatusCode.INVALID_ARGUMENT, code="subscription.fetch.replayid.corrupted"),
    ],
)
async def test_refused_channel_needs_an_operator(world: World, end: End) -> None:
    """The others go on."""
    await begun(world, REFUNDS)
    world.server.refusals.append(end)
    world.read(ORDERS)

    error = await world.refused(ORDERS)
    assert isinstance(error, SubscriptionRefused)
    assert error.path == ORDERS
    world.publish(2, REFUNDS)
    await world.all_read(REFUNDS)
    assert world.source.subscribed == {REFUNDS}


@pytest.mark.parametrize(
    "end",
    [
        End(status=StatusCode.PERMISSION_DENIED, code="service.tenant.license"),
        End(status=StatusCode.UNAUTHENTICATED, code="service.auth.headers.invalid"),
        End(status=StatusCode.UNIMPLEMENTED),
    ],
)
async def test_client_that_is_not_served_needs_an_operator(world: World, end: End) -> None:
    """No new token helps."""
    world.server.refusals.append(end)
    world.read()

    assert isinstance(await world.refused(), ConfigurationError)


# gRPC's asyncio client reports an end so, now and then, that crosses a request of its own.
REASON_LOST = End(status=StatusCode.INTERNAL, details="Internal error from Core")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("subscription.fetch.replayid.corrupted", ReplayIdRefused),
        ("topic.not.found", SubscriptionRefused),
        ("service.tenant.license", ConfigurationError),
    ],
)
async def test_reason_that_was_lost_is_told_by_the_next_stream(
    world: World, code: str, expected: type[Stop]
) -> None:
    """A lasting fault is refused again, this time with its code."""
    await begun(world, ORDERS)
    world.server.refusals.append(End(status=StatusCode.FAILED_PRECONDITION, code=code))
    world.server.end(REASON_LOST)

    assert isinstance(await world.refused(), expected)
    assert world.losses.reasons == ["internal"]


@pytest.mark.parametrize("end", PASSING.values(), ids=PASSING)
async def test_reason_that_was_lost_costs_one_more_stream(world: World, end: End) -> None:
    """Before or after an end whose reason is known, each event enters the log once."""
    await begun(world, ORDERS)
    world.server.refusals.extend([end, REASON_LOST])
    with capture_logs() as lines:
        world.server.end(REASON_LOST)
        world.publish(3)
        await world.all_read()

    assert len(world.server.streams) == 4
    assert sum(pauses(lines)) <= 3.5


async def test_reason_that_was_lost_does_not_keep_an_expired_token(world: World) -> None:
    """The next stream is refused for it, and the one after that has another."""
    await begun(world, ORDERS)
    [token] = {stream.metadata["accesstoken"] for stream in world.server.streams}
    world.server.refused_tokens.add(token)
    world.server.end(REASON_LOST)
    world.publish(3)
    await world.all_read()

    assert [stream.metadata["accesstoken"] == token for stream in world.server.streams] == [True, True, False]


async def test_schema_whose_refusal_lost_its_reason_is_asked_for_again(world: World) -> None:
    """No event is set aside for it."""
    world.server.schema_ends.append(REASON_LOST)
    world.publish(3)
    world.read()
    await world.all_read()

    assert world.log.letters == []


async def test_schema_that_is_refused_once_is_asked_for_again(world: World) -> None:
    """Salesforce has just sent an event of it."""
    world.server.schema_ends.append(End(status=StatusCode.NOT_FOUND, code="schema.not.found"))
    world.publish(3)
    world.read()
    await world.all_read()

    assert world.log.letters == []


async def test_silent_stream_is_replaced_after_300_s(world: World) -> None:
    """On another connection, because the silent one can be dead; it is counted and logged."""
    await begun(world, ORDERS)
    world.server.is_silent = True
    world.publish(2)
    began = world.clock.monotonic()
    with capture_logs() as lines:
        await world.until(lambda: world.losses.reasons, turning=5)
    elapsed = world.clock.monotonic() - began
    world.server.is_silent = False
    await world.all_read()

    assert 295 < elapsed < 320
    assert world.losses.reasons == ["overdue"]
    assert world.losses.overdue_count == 1
    assert "session.lost" in {line["event"] for line in lines}
    assert len({stream.peer for stream in world.server.streams}) == 2


async def test_streams_that_stay_silent_in_a_row_are_counted(world: World) -> None:
    """Until one brings something; the acceptance of a stream proves nothing."""
    await begun(world, ORDERS)
    world.server.is_silent = True
    world.publish(1)
    for times in (1, 2):
        await world.until(lambda: len(world.losses.reasons) == times, turning=5)  # noqa: B023 - awaited at once
        assert world.source.overdue == {ORDERS: times}
    world.server.is_silent = False
    await world.all_read()

    assert world.source.overdue == {}
    assert set(world.losses.reasons) == {"overdue"}


async def test_keep_alives_keep_a_quiet_stream(world: World) -> None:
    """It is quiet, and not dead."""
    await begun(world, ORDERS)
    for number in range(5):
        await world.clock.turn(200)
        world.server.keep_alive(replay_id(100 + number))
        latest = replay_id(100 + number)
        await world.until(lambda: world.log.checkpoints[world.channel()].replay_id == latest)  # noqa: B023 - awaited at once

    assert world.losses.reasons == []


async def test_silence_while_the_log_is_busy_is_not_salesforces(world: World) -> None:
    """Nothing can come without credit."""
    world.publish(100)
    world.log.gate.clear()
    world.read()
    await world.until(lambda: world.gated.batches_seen and not world.gated.batches_seen[-1].more)
    await world.clock.turn(1000)
    world.log.gate.set()
    await world.all_read()

    assert world.losses.reasons == []


async def test_trouble_of_one_channel_does_not_disturb_another(world: World) -> None:
    """Neither its stream nor its back-off."""
    await begun(world, ORDERS, REFUNDS)
    world.server.refusals.extend([PASSING["unavailable_without_code"]] * 6)
    world.server.end(PASSING["unavailable_without_code"], ORDERS)
    await world.until(lambda: len(world.server.refusals) < 2)
    world.server.refusals.clear()
    with capture_logs() as lines:
        world.server.end(PASSING["closed"], REFUNDS)
        world.publish(2, REFUNDS)
        await world.all_read(REFUNDS)

    assert 0.5 in pauses(lines)


async def test_server_that_is_away_is_tried_again_for_all_channels_together(world: World) -> None:
    """One attempt serves all, and its pauses grow."""
    await begun(world, ORDERS, REFUNDS)
    port = world.server.port
    await world.server.stop()
    with capture_logs() as lines:
        await world.until(lambda: 4.0 in pauses(lines), turning=0.02)
    world.publish(2, ORDERS)
    world.publish(2, REFUNDS)
    await world.server.start(port)
    await world.all_read(ORDERS, REFUNDS)

    assert set(world.losses.reasons) == {"unavailable"}
    # The first pause is each channel's own. The others are shared; who notices later waits for the rest.
    assert {0.5, 1.0, 2.0, 4.0} <= set(pauses(lines))
    assert len(pauses(lines)) <= 2 + 2 * 4
    assert len({stream.peer for stream in world.server.streams[2:]}) == 1


async def test_channel_that_begins_while_no_connection_is_made_waits_too(world: World) -> None:
    """Another try for each channel would be a storm."""
    await begun(world, ORDERS)
    await world.server.stop()
    with capture_logs() as lines:
        await world.until(lambda: 2.0 in pauses(lines), turning=0.02)
        known = len(world.losses.reasons)
        world.read(REFUNDS)
        await world.clock.turn(1)
        for _ in range(50):
            await asyncio.sleep(0.001)

    assert len(world.losses.reasons) == known


async def test_schema_that_cannot_be_fetched_now_is_waited_for(world: World) -> None:
    """The position holds, and the events before it are in the log."""
    world.server.schema_ends.extend([PASSING["unavailable"], PASSING["busy"], PASSING["expired_token"]])
    world.publish(3)
    world.read()
    await world.all_read()

    assert world.log.letters == []
    assert len(world.server.schema_requests) == 4


async def test_what_was_read_before_does_not_wait_for_a_schema(world: World) -> None:
    """It is committed, although the answers before it go on."""
    world.publish(100)
    event = ProducerEvent(id="x", schema_id="later", payload=b"")
    world.server.publish(ConsumerEvent(event=event, replay_id=replay_id(100)))
    world.server.schemas_away.add("later")
    world.read()
    await world.all_read()

    assert world.log.letters == []


async def test_answer_that_is_no_message_ends_the_stream(world: World) -> None:
    """The position holds."""
    await begun(world, ORDERS)
    world.server.torn = True
    world.publish(1)
    await world.until(lambda: world.losses.reasons)
    await world.all_read()

    assert world.losses.reasons == ["answer_broken"]


async def test_words_of_a_server_do_not_repeat_the_token(world: World) -> None:
    """Logs are read by many."""
    await begun(world, ORDERS)
    token = world.server.streams[0].metadata["accesstoken"]
    with capture_logs() as lines:
        world.server.end(End(status=StatusCode.UNKNOWN, details=f"bad {token}"))
        await world.until(lambda: world.losses.reasons)

    assert token not in str(lines)
    assert "bad ***" in str(lines)


async def test_stream_that_ends_while_the_log_is_busy_loses_nothing(world: World) -> None:
    """Salesforce ends one without credit after a minute; what it sent before counts."""
    world.log.gate.clear()
    world.publish(150)
    world.read()
    await world.until(lambda: world.gated.batches_seen and not world.gated.batches_seen[-1].more)
    world.server.end(PASSING["closed"])
    await world.until(lambda: not world.server.live())
    world.publish(50)
    world.log.gate.set()
    await world.all_read()

    # gRPC's asyncio client loses the status of a stream that ends while a request is written.
    assert world.losses.reasons in (["closed"], ["internal"])


async def test_login_that_is_away_is_waited_for_by_all_channels_together(world: World) -> None:
    """One attempt for all, after pauses that grow."""
    await begun(world, ORDERS, REFUNDS)
    [token] = {stream.metadata["accesstoken"] for stream in world.server.streams}
    world.server.refused_tokens.add(token)
    tokens = world.source._session.login._tokens
    login, tokens._url = tokens._url, "http://127.0.0.1:9"
    for path in (ORDERS, REFUNDS):
        world.server.end(PASSING["expired_token"], path)
        world.publish(2, path)
    with capture_logs() as lines:
        await world.until(lambda: len(delays(lines)) == 4)
    tokens._url = login
    await world.all_read(ORDERS, REFUNDS)

    assert delays(lines) == [0.5, 1.0, 2.0, 4.0]
