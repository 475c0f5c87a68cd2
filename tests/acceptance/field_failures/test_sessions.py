"""Sessions that end silently, return without their channels, or return too often."""

from itertools import count
from typing import Literal

import pytest

from streamer.settings import Transport
from tests.acceptance.field_failures.world import World
from tests.acceptance.sent import sent_by
from tests.configuration import CHANGES, ORDERS

_AWAY_S = 1800


def check_whole(world: World) -> None:
    """Check that the consumer has read what the org has sent: each event once, and in its channel's order."""
    sent = [each.id for each in sent_by(world.sandbox)]
    assert world.ids(CHANGES) + world.ids(ORDERS) == sent


def publish(world: World, numbers: "count[int]") -> None:
    """Let something happen on both channels."""
    number = next(numbers)
    world.save(Name=f"No {number}")
    world.order(number)


async def test_silent_death(world: World) -> None:
    """Connections are up and bring nothing: each is opened again, and at last the probe fails."""
    numbers = count()
    async with world.running():
        publish(world, numbers)
        await world.read()
        world.sandbox.faults.half_open(times=6)
        publish(world, numbers)
        await world.until(lambda: "has not answered" in world.readiness()[1], turning=5)
        publish(world, numbers)
        world.sandbox.faults.heal("half_open")
        await world.read(turning=5)
        await world.until(lambda: world.readiness()[0], turning=5)
        overdue = world.metrics.registry.get_sample_value("streamer_session_overdue_total")

    check_whole(world)
    assert overdue is not None
    assert overdue >= 2


@pytest.mark.parametrize("transport", [Transport.COMETD], indirect=True)
async def test_unknown_client(world: World) -> None:
    """A lost cookie or session costs no login, and no channel is left behind."""
    faults, numbers = world.sandbox.faults, count()
    async with world.running():
        for forget in 8 * (faults.lapse_cookie, faults.forget_client):
            publish(world, numbers)
            await world.read()
            forget()
            publish(world, numbers)
            await world.read()
        await world.settled()
        # A server forgets a lost session after 40 s.
        await world.until(lambda: world.sandbox.cometd.clients == 1)

    check_whole(world)
    assert faults.struck["lapse_cookie"] == faults.struck["forget_client"] == 8
    assert len(world.sandbox.tokens) == 1


async def test_expiry_of_the_token_in_mid_stream(world: World) -> None:
    """Both channels and the look-ups of a gap find it refused at once, and one new token serves them all."""
    numbers = count()
    async with world.running():
        account = world.save(Name="Told")
        publish(world, numbers)
        await world.read()
        for times in range(1, 4):
            former = set(world.sandbox.tokens._sessions)
            world.sandbox.tokens.revoke_all()
            world.sandbox.faults.gap_changes("Account")
            world.change(account, Name=f"Told of {times} times")
            publish(world, numbers)
            await world.read(len(sent_by(world.sandbox)) + times)
            assert len(set(world.sandbox.tokens._sessions) - former) == 1

    recovered = [event for event in world.events if "recovered" in event.data]
    assert [event.data["fields"]["Name"] for event in recovered] == [f"Told of {n} times" for n in (1, 2, 3)]


async def test_many_reconnections_leave_one_subscription(world: World) -> None:
    """However a server ends our session, it has one client of ours afterwards, and nothing comes twice."""
    faults, numbers = world.sandbox.faults, count()
    ends = {
        Transport.COMETD: (
            faults.disconnect,
            lambda: faults.disconnect(form="with_reply"),
            faults.forget_client,
            lambda: faults.broken_response("reset"),
            faults.lose_response,
            faults.expire_session,
        ),
        Transport.PUBSUB: (
            faults.end_stream,
            lambda: faults.end_stream(status="INTERNAL"),
            faults.unavailable,
            lambda: faults.unavailable(coded=False),
            faults.expire_session,
        ),
    }[world.transport]
    async with world.running():
        for end in 2 * ends:
            end()
            publish(world, numbers)
            await world.read(turning=1)
        await world.settled()
        cometd, pubsub = world.sandbox.cometd, world.sandbox.pubsub
        assert pubsub is not None
        expected = (1, 0) if world.transport is Transport.COMETD else (0, 2)
        # On a slow machine, the last session can still be on its way.
        await world.until(lambda: (cometd.clients, pubsub.streams) == expected)

    check_whole(world)


@pytest.mark.parametrize("transport", [Transport.COMETD], indirect=True)
@pytest.mark.parametrize("form", ["alone", "with_reply"])
async def test_disconnect_by_the_server(world: World, form: Literal["alone", "with_reply"]) -> None:
    """A disconnect never stops the daemon, even with advice to stay away: a new session has all channels."""
    numbers = count()
    async with world.running():
        publish(world, numbers)
        await world.read()
        world.sandbox.faults.disconnect(form=form, times=3)
        publish(world, numbers)
        await world.read()
        await world.until(lambda: world.readiness()[0])
        publish(world, numbers)
        await world.read()

    check_whole(world)
    assert world.sandbox.faults.struck["disconnect"] == 3
    assert len(world.sandbox.tokens) == 1


async def test_storms_and_quotas(world: World) -> None:
    """Hours in which nobody is served cost few requests, and restarts spend none of the day's events."""
    faults, numbers = world.sandbox.faults, count()
    for _ in range(4):
        async with world.running():
            for _ in range(5):
                publish(world, numbers)
            await world.read()
            await world.settled()
    async with world.running():
        faults.busy(times=None)
        faults.unavailable(times=None)
        publish(world, numbers)
        end = world.clock.now() + _AWAY_S
        await world.until(lambda: world.clock.now() > end, turning=5)
        tries = faults.struck["busy"] + faults.struck["unavailable"]
        faults.heal()
        await world.read(turning=5)

    check_whole(world)
    # Once in a quarter of a minute for each channel is the most.
    assert _AWAY_S / 300 < tries < 2 * _AWAY_S / 15
    # One event of each channel is read again after each start: others can share its replay id.
    delivered = world.sandbox.org.usage.delivered_events.total
    assert len(world.events) <= delivered <= len(world.events) + 2 * 6
