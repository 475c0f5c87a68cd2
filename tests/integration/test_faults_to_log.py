"""Every fault of a session, in the middle of a stream, all the way into the log."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from streamer.events import Channel, Start
from streamer.ingest.keeper import Keeper
from streamer.ingest.quarantine import Quarantine
from streamer.ingest.relay import Ingest
from streamer.log.memory import MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.sandbox.faults.catalogue import Faults
from tests.streaming import CHANGES, ORDERS, World, streaming

_EACH = 40

FAULTS: dict[str, Callable[[Faults], None]] = {
    "lapsed cookie": lambda faults: faults.lapse_cookie(after_events=15),
    "forgotten client": lambda faults: faults.forget_client(after_events=15),
    "expired session": lambda faults: faults.expire_session(after_events=15),
    "busy": lambda faults: faults.busy(times=3, after_events=15),
    "half-open": lambda faults: faults.half_open(after_events=15),
    "lost response": lambda faults: faults.lose_response(after_events=15),
    "truncated response": lambda faults: faults.broken_response("truncated", after_events=15),
    "reset": lambda faults: faults.broken_response("reset", after_events=15),
    "disconnected": lambda faults: faults.disconnect(after_events=15),
    "disconnected beside a reply": lambda faults: faults.disconnect(form="with_reply", after_events=15),
}


@contextmanager
def kept(world: World, log: MemoryLog) -> Iterator[None]:
    """Carry two channels into `log` inside the context."""
    clock = world.clock

    def ingest(channel: Channel) -> Ingest:
        return Ingest(
            channel=channel,
            source=world.source,
            log=log,
            normalise=normaliser_for(channel),
            quarantine=Quarantine(clock=clock),
            clock=clock,
            observer=Metrics(clock=clock).channel(channel),
            start=Start.EARLIEST,
        )

    channels = [Channel(org=world.org, path=path) for path in (CHANGES, ORDERS)]
    keeper = asyncio.create_task(
        Keeper(ownership=log, channels=channels, ingest=ingest, clock=clock).run(), name="keeper"
    )
    try:
        yield
    finally:
        keeper.cancel()


def change(world: World, number: int) -> None:
    """Publish one change and one order."""
    header = {
        "entityName": "Account",
        "recordIds": [f"001{number % 5}"],
        "changeType": "UPDATE",
        "transactionKey": f"t{number}",
        "sequenceNumber": 1,
        "commitTimestamp": int(world.clock.now() * 1000),
    }
    world.sandbox.bus.publish([CHANGES], {"schema": "s", "payload": {"ChangeEventHeader": header}})
    world.publish(1, ORDERS)


@pytest.mark.parametrize("fault", [*FAULTS, "revoked token"])
async def test_no_event_is_lost_or_twice_in_the_log(fault: str) -> None:
    """The session recovers without a restart, and both channels are whole and in order."""
    log = MemoryLog()
    async with streaming() as world:
        with kept(world, log):
            if fault in FAULTS:
                FAULTS[fault](world.sandbox.faults)
            for number in range(_EACH):
                change(world, number)
                if number == _EACH // 2:
                    await world.until(lambda: log.events)
                    if fault not in FAULTS:
                        world.sandbox.tokens.revoke_all()
            await world.until(lambda: len(log.events) >= 2 * _EACH, turning=2)
            await world.clock.turn(120)

        changes = [event for event in log.events if event.channel == CHANGES]
        orders = [event for event in log.events if event.channel == ORDERS]
        assert [event.id for event in changes] == [f"t{number}:1:001{number % 5}" for number in range(_EACH)]
        assert [event.data["fields"]["n"] for event in orders] == list(range(_EACH))
        assert world.losses.reasons
