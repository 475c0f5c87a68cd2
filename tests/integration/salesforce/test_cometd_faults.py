"""One fault at a time in the middle of a stream."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from streamer.errors import CredentialsRefused, ReplayIdRefused, SubscriptionRefused
from streamer.events import Channel, Checkpoint, ReplayId, Start
from streamer.salesforce.cometd import answer
from streamer.salesforce.cometd.session import BayeuxSession
from streamer.sandbox.cometd import CometdLimits
from tests.streaming import APP, CHANGES, ORDERS, World, streaming


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A sandbox org and a source that reads it."""
    async with streaming() as world:
        yield world


async def test_lapsed_routing_cookie_costs_a_handshake_and_no_event(world: World) -> None:
    """A lapsed cookie means a new session for every channel, with the same token."""
    readers = world.read(), world.read(ORDERS)
    world.sandbox.faults.lapse_cookie(after_events=15)
    for path in (CHANGES, ORDERS):
        world.publish(10, path)
    await world.all_read(*readers)
    assert world.losses.reasons == ["handshake"]
    assert len(world.sandbox.tokens) == 1


async def test_expired_session_is_renewed_in_the_middle_of_a_stream(world: World) -> None:
    """A refused token is replaced and nothing is missed."""
    reader = world.read()
    world.sandbox.faults.expire_session(after_events=5)
    world.publish(10)
    await world.all_read(reader)
    assert world.losses.reasons == ["renew_token"]
    assert len(world.sandbox.tokens) == 2


async def test_revoked_token_ends_a_held_connect_and_is_renewed(world: World) -> None:
    """A token that an administrator revokes is replaced, whatever the stream is doing."""
    reader = world.read()
    world.publish(3)
    await world.all_read(reader)
    world.sandbox.tokens.revoke_all()
    world.publish(3)
    await world.all_read(reader)
    assert world.losses.reasons == ["renew_token"]


async def test_busy_server_is_left_alone_and_keeps_our_token(world: World) -> None:
    """A 503 behind a misleading 401 costs waits of growing length, the first of them short, and no login."""
    reader = world.read()
    world.sandbox.faults.busy(times=4, after_events=5)
    world.publish(10)
    await world.until(lambda: world.losses.reasons)
    began = world.clock.monotonic()
    await world.all_read(reader, turning=0.5)
    assert world.losses.reasons == ["leave_alone"] * 4
    # Without chance, each wait is half its ceiling.
    assert 0.5 * (2 + 4 + 8) < world.clock.monotonic() - began < 60
    assert len(world.sandbox.tokens) == 1


async def test_daily_limit_is_waited_out(world: World) -> None:
    """When the day's events are used up, the stream waits and then continues where it was."""
    reader = world.read()
    world.sandbox.faults.daily_limit(times=3, after_events=5)
    world.publish(10)
    # It can be a mistake, and the first try is soon.
    for times, pause in enumerate((0.5, 450, 1800), start=1):
        await world.until(lambda: len(world.losses.reasons) >= times)  # noqa: B023 - awaited at once
        await world.clock.turn(pause)
    await world.all_read(reader)
    assert set(world.losses.reasons) == {"wait_for_allowance"}


async def test_half_open_connection_is_overdue_and_recycled(world: World) -> None:
    """An answer that never comes costs its events nothing but time."""
    reader = world.read()
    world.sandbox.faults.half_open(after_events=5)
    world.publish(10)
    await world.all_read(reader)
    assert world.losses.reasons == ["overdue"]
    assert world.sandbox.faults.lost == 5


async def test_connects_that_are_left_unanswered_in_a_row_are_counted(world: World) -> None:
    """Until one is answered: the immediate answer to the first of a session proves nothing."""
    reader = world.read()
    world.publish(1)
    await world.all_read(reader)
    world.sandbox.faults.half_open(times=2)
    for times in (1, 2):
        await world.until(lambda: len(world.losses.reasons) == times, turning=5)  # noqa: B023 - awaited at once
        assert world.source.overdue == {CHANGES: times}
    world.publish(1)
    await world.all_read(reader)
    await world.until(lambda: not world.source.overdue, turning=5)

    assert world.losses.reasons == ["overdue"] * 2


async def test_lost_response_is_asked_for_again(world: World) -> None:
    """Events that Salesforce counts as delivered come again in a new session."""
    readers = world.read(), world.read(ORDERS)
    world.sandbox.faults.lose_response(after_events=10)
    world.publish(10)
    world.publish(10, ORDERS)
    await world.all_read(*readers)
    assert world.losses.reasons == ["answer_lost"]
    assert world.sandbox.faults.lost > 0


@pytest.mark.parametrize("how", ["truncated", "garbage", "reset"])
async def test_broken_response_is_asked_for_again(world: World, how: str) -> None:
    """A cut-off answer is requested again."""
    reader = world.read()
    world.sandbox.faults.arm("broken_response", {"how": how, "after_events": 5})
    world.publish(10)
    await world.all_read(reader)
    assert world.losses.reasons in (["answer_lost"], ["answer_broken"])
    assert world.sandbox.faults.lost == 5


async def test_whole_parts_of_a_torn_answer_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are settled before the session is given up, so only what was torn is asked for again."""
    monkeypatch.setattr(answer, "_PART_BYTES", 500)
    exchange = BayeuxSession._exchange

    async def torn_once(self: BayeuxSession, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        status, answered = await exchange(self, body, timeout_s)
        if len(answered) > 2_000 and not world.losses.reasons:
            answered = answered[: len(answered) * 2 // 3]
        return status, answered

    monkeypatch.setattr(BayeuxSession, "_exchange", torn_once)
    world.publish(20)
    reader = world.read()
    await world.all_read(reader)

    assert world.losses.reasons == ["answer_broken"]
    assert 20 <= reader.taken < 25


@pytest.mark.parametrize("form", ["alone", "with_reply"])
async def test_disconnect_by_the_server_means_to_shake_hands_again(world: World, form: str) -> None:
    """A server that sends us away is not the end of the stream, even if it advises `none`."""
    reader = world.read()
    world.sandbox.faults.arm("disconnect", {"form": form, "after_events": 5})
    world.publish(10)
    await world.all_read(reader)
    assert world.losses.reasons == ["server_disconnect"]


@pytest.mark.parametrize("status", [401, 403, 502, 503])
async def test_proxy_page_in_place_of_an_answer_is_survived(world: World, status: int) -> None:
    """HTML with any status costs a session, and no event."""
    reader = world.read()
    world.sandbox.faults.http_error(status, after_events=5)
    world.publish(10)
    await world.all_read(reader)
    assert world.losses.reasons == [f"http_{status}"]


async def test_events_beside_a_failed_reply_are_taken(world: World) -> None:
    """A failed connect may hold events; they are not asked for twice, but for the last."""
    reader = world.read()
    world.sandbox.faults.events_beside_failure(after_events=5)
    world.publish(10)
    await world.all_read(reader)
    await world.until(lambda: world.losses.reasons)
    assert world.losses.reasons == ["handshake"]


async def test_events_before_the_reply_to_the_subscription_are_taken(world: World) -> None:
    """A subscription's events may overtake the reply to it."""
    world.publish(3)
    world.sandbox.faults.events_before_reply()
    reader = world.read()
    await world.all_read(reader)
    world.publish(3, ORDERS)
    world.sandbox.faults.events_before_reply()
    orders = world.read(ORDERS)
    await world.all_read(reader, orders)


async def test_slow_log_loses_the_session_quietly(world: World) -> None:
    """A commit of more than 40 s costs the session; its events are not given twice."""
    reader = world.read()
    world.publish(5)
    await world.all_read(reader)
    reader.gate.clear()
    world.publish(5)
    await world.until(lambda: reader.taken == 10, turning=0)
    await world.clock.turn(50)
    reader.gate.set()
    world.publish(5)
    await world.all_read(reader)
    assert world.losses.reasons == ["handshake"]


async def test_refused_subscription_is_raised_and_the_others_go_on(world: World) -> None:
    """A channel that does not exist ends its own iteration only."""
    reader = world.read()
    wrong = world.read("/data/Nothing__ChangeEvent")
    await world.until(lambda: wrong.error)
    world.publish(5)
    await world.all_read(reader)
    assert isinstance(wrong.error, SubscriptionRefused)
    assert wrong.error.path == "/data/Nothing__ChangeEvent"
    assert world.losses.reasons == []


async def test_doubtful_refusal_is_tried_again_on_a_fresh_session(world: World) -> None:
    """A refusal that a lost session causes as well is not believed at once."""
    world.sandbox.faults.deny_subscription(ORDERS, times=2)
    orders = world.read(ORDERS)
    world.publish(5, ORDERS)
    await world.all_read(orders)
    assert world.losses.reasons == ["subscribed_again"] * 2


async def test_doubtful_refusal_that_lasts_is_raised(world: World) -> None:
    """After a minute of it, someone has to act; the other channel never stops."""
    world.sandbox.faults.deny_subscription(ORDERS, times=None)
    reader, orders = world.read(), world.read(ORDERS)
    await world.until(lambda: orders.error)
    world.publish(5)
    await world.all_read(reader)
    assert isinstance(orders.error, SubscriptionRefused)


async def test_refused_replay_id_is_raised_and_the_others_go_on(world: World) -> None:
    """A position that Salesforce no longer knows is its channel's own trouble."""
    reader = world.read()
    channel = Channel(org=world.org, path=ORDERS)
    orders = world.read(
        ORDERS, after=Checkpoint(channel=channel, replay_id=ReplayId(b"999999"), verified_at=0)
    )
    await world.until(lambda: orders.error)
    world.publish(5)
    await world.all_read(reader)
    assert isinstance(orders.error, ReplayIdRefused)


async def test_channel_goes_on_elsewhere_after_its_replay_id_was_refused(world: World) -> None:
    """Its owner decides where, and the session is kept."""
    world.publish(3)
    world.sandbox.faults.refuse_replay_id(CHANGES)
    channel = Channel(org=world.org, path=CHANGES)
    refused = world.read(after=Checkpoint(channel=channel, replay_id=ReplayId(b"1001"), verified_at=0))
    await world.until(lambda: refused.error)
    await world.all_read(world.read())
    assert world.losses.handshakes <= 2
    assert world.losses.reasons == []


@pytest.mark.parametrize("reconnect", ["handshake", "none"])
async def test_advice_to_shake_hands_or_stop_is_a_new_session(world: World, reconnect: str) -> None:
    """Even a successful connect may send us away; the stream goes on."""
    reader = world.read()
    world.sandbox.faults.advise({"reconnect": reconnect}, after_events=5)
    world.publish(10)
    await world.all_read(reader)
    await world.until(lambda: world.losses.reasons)
    assert world.losses.reasons == ["advised"]


async def test_advised_interval_is_kept_before_the_next_connect(world: World) -> None:
    """A server that wants a rest between connects gets it."""
    reader = world.read()
    world.sandbox.faults.advise({"reconnect": "retry", "interval": 3000}, after_events=5)
    world.publish(20)
    await world.until(lambda: len(reader.seen) > 5, turning=0)
    began = world.clock.monotonic()
    world.publish(1)
    await world.all_read(reader)
    assert world.clock.monotonic() - began >= 3
    assert world.losses.reasons == []


async def test_wrong_secret_ends_every_iteration_with_the_reason() -> None:
    """When nobody can log in, every consumer is told."""
    async with streaming(APP.model_copy(update={"client_secret": SecretStr("wrong")})) as world:
        readers = world.read(), world.read(ORDERS)
        await world.until(lambda: all(reader.error for reader in readers))
    assert all(isinstance(reader.error, CredentialsRefused) for reader in readers)


async def test_quiet_channel_that_started_at_latest_misses_nothing(world: World) -> None:
    """Without any replay id to resume from, what came while the session was lost is found by its time."""
    world.publish(3)
    await world.clock.turn(3600)
    reader = world.read(after=Start.LATEST)
    await world.until(lambda: reader.empty)
    world.sandbox.faults.half_open()
    world.publish(1)
    await world.until(lambda: world.sandbox.faults.struck["half_open"])
    world.publish(2)
    await world.until(lambda: len(reader.seen) >= 3)
    assert reader.seen == [3, 4, 5]


async def test_history_that_is_read_again_stays_out_whatever_its_length() -> None:
    """A start at the latest position skips older events, answer by answer."""
    async with streaming(cometd=CometdLimits(response_events=2)) as world:
        world.publish(9)
        await world.clock.turn(3600)
        reader = world.read(after=Start.LATEST)
        await world.until(lambda: reader.empty)
        world.publish(1)
        await world.until(lambda: reader.seen, turning=0)
        world.sandbox.faults.forget_client()
        world.publish(2)
        await world.until(lambda: len(reader.seen) >= 3)
    assert reader.seen == [9, 10, 11]
    assert world.losses.reasons == ["handshake"]
