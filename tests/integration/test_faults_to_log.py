"""Every fault of a session in the middle of a stream, from the org into the log."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from streamer.events import Channel, Checkpoint, HoleCause, Start
from streamer.ingest.channel_supervisor import ChannelSupervisor
from streamer.ingest.positions import Positioning
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.log.memory import MemoryLog
from streamer.log.memory.log import MemoryAppend
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.settings import Transport
from tests.streaming import CHANGES, ORDERS, World, message, streaming

_EACH = 40
_MORE_THAN_THE_CREDIT = 150

COMETD_FAULTS: dict[str, Callable[[World], object]] = {
    "lapsed cookie": lambda world: world.sandbox.faults.lapse_cookie(after_events=15),
    "forgotten client": lambda world: world.sandbox.faults.forget_client(after_events=15),
    "expired session": lambda world: world.sandbox.faults.expire_session(after_events=15),
    "busy": lambda world: world.sandbox.faults.busy(times=3, after_events=15),
    "half-open": lambda world: world.sandbox.faults.half_open(after_events=15),
    "lost response": lambda world: world.sandbox.faults.lose_response(after_events=15),
    "truncated response": lambda world: world.sandbox.faults.broken_response("truncated", after_events=15),
    "reset": lambda world: world.sandbox.faults.broken_response("reset", after_events=15),
    "refused replay id": lambda world: _armed(
        world, ("forget_client", {"after_events": 15}), ("refuse_replay_id", {})
    ),
    "disconnected": lambda world: world.sandbox.faults.disconnect(after_events=15),
    "disconnected beside a reply": lambda world: world.sandbox.faults.disconnect(
        form="with_reply", after_events=15
    ),
}

PUBSUB_FAULTS: dict[str, Callable[[World], object]] = {
    "expired session": lambda world: world.sandbox.faults.expire_session(after_events=15),
    "expired again on reconnect": lambda world: _armed(
        world,
        ("expire_session", {"after_events": 15}),
        ("expire_session", {"on": ["subscribe"], "times": 2}),
    ),
    "unavailable": lambda world: world.sandbox.faults.unavailable(after_events=15),
    "unavailable five times": lambda world: world.sandbox.faults.unavailable(times=5, after_events=15),
    "lost connection": lambda world: world.sandbox.faults.unavailable(coded=False, after_events=15),
    "closed": lambda world: world.sandbox.faults.end_stream(after_events=15),
    "reset": lambda world: world.sandbox.faults.end_stream(status="INTERNAL", after_events=15),
    "ended with a code": lambda world: world.sandbox.faults.end_stream(
        status="ABORTED", error_code="subscription.internal.error", after_events=15
    ),
    "asked for too much": lambda world: world.sandbox.faults.end_stream(
        status="INVALID_ARGUMENT", error_code="subscription.fetch.overflow", after_events=15
    ),
    "permission refused on reconnect": lambda world: _armed(
        world, ("end_stream", {"after_events": 15}), ("deny_subscription", {"times": 2})
    ),
    "refused replay id": lambda world: _armed(
        world, ("end_stream", {"after_events": 15}), ("refuse_replay_id", {})
    ),
    "refused replay ids": lambda world: _armed(
        world, ("end_stream", {"after_events": 15, "times": 4}), ("refuse_replay_id", {"times": 4})
    ),
    "half-open": lambda world: world.sandbox.faults.half_open(after_events=15),
    "cut for its age": lambda world: world.sandbox.faults.age_limit(seconds=10),
    "too many clients": lambda world: _armed(
        world, ("end_stream", {"after_events": 15}), ("client_limit", {"times": 3})
    ),
    "daily limit": lambda world: world.sandbox.faults.daily_limit(times=2, after_events=15),
    "no keep-alives": lambda world: world.sandbox.faults.stop_keepalives(),
    "slow schema": lambda world: world.sandbox.faults.slow(seconds=40, on=["schema"]),
    "schema that is unknown once": lambda world: world.sandbox.faults.unknown_schema(),
}


def _armed(world: World, *faults: tuple[str, dict[str, Any]]) -> None:
    for name, parameters in faults:
        world.sandbox.faults.arm(name, parameters)


_RUNS = [
    *((Transport.COMETD, fault) for fault in [*COMETD_FAULTS, "revoked token"]),
    *((Transport.PUBSUB, fault) for fault in [*PUBSUB_FAULTS, "revoked token"]),
]


@contextmanager
def kept(world: World, log: MemoryLog) -> Iterator[None]:
    """Carry two channels into `log` inside the context."""
    clock = world.clock

    def ingest(channel: Channel) -> Ingest:
        return Ingest(
            source=world.source,
            log=ChannelLog(
                channel=channel, log=log, clock=clock, observer=Metrics(clock=clock).channel(channel)
            ),
            messages=MessageReader(
                channel=channel, normalise=normaliser_for(channel), quarantine=Quarantine(clock=clock)
            ),
            positioning=Positioning(channel=channel, clock=clock, start=Start.EARLIEST),
        )

    channels = [Channel(org=world.org, path=path) for path in (CHANGES, ORDERS)]
    supervisor = asyncio.create_task(
        ChannelSupervisor(ownership=log, channels=channels, ingest=ingest, clock=clock).run(),
        name="supervisor",
    )
    try:
        yield
    finally:
        supervisor.cancel()


def change(world: World, number: int) -> None:
    """Publish one change and one order."""
    org = world.sandbox.org
    header = {
        "entityName": "Account",
        "recordIds": [f"001{number % 5}"],
        "changeType": "UPDATE",
        "changeOrigin": "",
        "transactionKey": f"t{number}",
        "sequenceNumber": 1,
        "commitTimestamp": int(world.clock.now() * 1000),
        "commitNumber": number,
        "commitUser": org.settings.user_id,
        "changedFields": ["Name"],
    }
    data = {
        "schema": org.event_schemas.id_of(org.schema.entity("Account")),
        "payload": {"ChangeEventHeader": header, "Name": str(number)},
    }
    world.sandbox.bus.publish([CHANGES], data)
    world.publish(1, ORDERS)


@pytest.mark.parametrize(("transport", "fault"), _RUNS)
async def test_no_event_is_lost_or_twice_in_the_log(transport: Transport, fault: str) -> None:
    """The session recovers without a restart, and both channels are whole and in order."""
    log = MemoryLog()
    faults = COMETD_FAULTS if transport is Transport.COMETD else PUBSUB_FAULTS
    async with streaming(transport=transport) as world:
        with kept(world, log):
            if fault in faults:
                faults[fault](world)
            for number in range(_EACH):
                change(world, number)
                if number == _EACH // 2:
                    await world.until(lambda: log.events)
                    if fault not in faults:
                        world.sandbox.tokens.revoke_all()
            await world.until(lambda: len(log.events) >= 2 * _EACH, turning=2)
            await world.clock.turn(400)

        changes = [event for event in log.events if event.channel == CHANGES]
        orders = [event for event in log.events if event.channel == ORDERS]
        assert [event.id for event in changes] == [f"t{number}:1:001{number % 5}" for number in range(_EACH)]
        assert [event.data["fields"]["n"] for event in orders] == list(range(_EACH))
        assert log.letters == []
        assert world.losses.reasons or "schema" in fault


@pytest.mark.parametrize("kind", ["utf8", "nonsense", "json"])
async def test_poison_among_the_events_of_the_pubsub_api_is_set_aside(
    kind: Literal["utf8", "nonsense", "json"],
) -> None:
    """Garbage, and an event of a schema that does not exist, cost only themselves."""
    log = MemoryLog()
    async with streaming(transport=Transport.PUBSUB) as world:
        with kept(world, log):
            for number in range(_EACH):
                change(world, number)
                if number in {3, _EACH // 2}:
                    world.sandbox.faults.unreadable(CHANGES, kind=kind)
            await world.until(lambda: len(log.events) >= 2 * _EACH, turning=2)

        changes = [event.id for event in log.events if event.channel == CHANGES]
        assert changes == [f"t{number}:1:001{number % 5}" for number in range(_EACH)]
        assert len(log.letters) == 2
        assert all(letter.replay_id and letter.raw for letter in log.letters)


async def test_schema_that_is_unknown_for_good_sets_its_events_aside() -> None:
    """They keep their bytes, so that they can be redriven."""
    log = MemoryLog()
    async with streaming(transport=Transport.PUBSUB) as world:
        world.sandbox.faults.unknown_schema(times=None)
        for number in range(15):
            change(world, number)
        with kept(world, log):
            await world.until(lambda: len(log.letters) == 30)

        assert log.events == []


@pytest.mark.parametrize("transport", Transport)
async def test_schema_that_changes_in_mid_stream_costs_nothing(transport: Transport) -> None:
    """Each event is read with its own, and the fields that are new to us arrive."""
    log = MemoryLog()
    async with streaming(transport=transport) as world:
        with kept(world, log):
            for number in range(_EACH):
                more = {f"Extra_{number // 10}__c": number} if number >= 10 else {}
                data = message(world.sandbox, world.clock, n=number, **more)
                world.sandbox.bus.publish([ORDERS], data)
                if number % 15 == 14:
                    await world.until(lambda: len(log.events) > number)  # noqa: B023 - awaited at once
            await world.until(lambda: len(log.events) == _EACH)

        fields = [event.data["fields"] for event in log.events]
        assert [each["n"] for each in fields] == list(range(_EACH))
        assert [each.get("Extra_2__c") for each in fields[18:32]] == [None] * 2 + list(range(20, 30)) + [
            None
        ] * 2


@dataclass(slots=True, kw_only=True)
class BusyLog(MemoryLog):
    """Log that commits only while its gate is open; `waiting` are the channels of the commits before it."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: list[Channel] = field(default_factory=list)

    def begin(self, channel: Channel) -> MemoryAppend:  # noqa: ARG002 - the port's shape
        """Return an append whose commit waits at the gate."""
        return BusyAppend(log=self, busy=self)


@dataclass(slots=True, kw_only=True)
class BusyAppend(MemoryAppend):
    """Append whose commit waits at a gate."""

    busy: BusyLog

    async def commit(self, checkpoint: Checkpoint, /, **more: Any) -> None:
        """Wait, and commit."""
        self.busy.waiting.append(checkpoint.channel)
        await self.busy.gate.wait()
        await MemoryAppend.commit(self, checkpoint, **more)


async def test_stream_that_is_cut_for_idle_credit_costs_nothing() -> None:
    """Salesforce ends it when the log has been busy for a minute; what has arrived is then appended."""
    log = BusyLog()
    async with streaming(transport=Transport.PUBSUB) as world:
        server = world.sandbox.pubsub
        assert server is not None
        with kept(world, log):
            for number in range(_MORE_THAN_THE_CREDIT):
                if number == 1:
                    await world.until(lambda: len(log.waiting) == 2)
                change(world, number)
            await world.until(lambda: not server.streams, turning=0.5)
            log.gate.set()
            await world.until(lambda: len(log.events) >= 2 * _MORE_THAN_THE_CREDIT)

        changes = [event.id for event in log.events if event.channel == CHANGES]
        assert changes == [f"t{number}:1:001{number % 5}" for number in range(_MORE_THAN_THE_CREDIT)]
        assert len(log.events) == 2 * _MORE_THAN_THE_CREDIT
        # gRPC's asyncio client loses the status of a stream that ends while a request is written.
        assert set(world.losses.reasons) <= {"closed", "internal"}


@pytest.mark.parametrize("transport", Transport)
async def test_position_that_has_expired_costs_only_what_salesforce_has_dropped(transport: Transport) -> None:
    """Nothing that is retained is lost, nothing in the log is repeated, and the hole is recorded."""
    log = MemoryLog()
    async with streaming(transport=transport) as world:
        for first, after_h in ((0, 0), (10, 5), (20, 75)):
            # Ten events before the daemon is away, ten that are dropped, and ten that are retained.
            await world.clock.turn(after_h * 3600)
            for number in range(10):
                change(world, first + number)
            if not first:
                with kept(world, log):
                    await world.until(lambda: len(log.events) == 20)
        with kept(world, log):
            await world.until(lambda: len(log.events) == 40)
            await world.clock.turn(400)

        changes = [event.id for event in log.events if event.channel == CHANGES]
        assert changes == [f"t{n}:1:001{n % 5}" for n in (*range(10), *range(20, 30))]
        assert {record.cause for record in log.continuity} == {HoleCause.REPLAY_ID_REFUSED}
        assert len(log.continuity) == 2


@pytest.mark.parametrize("transport", Transport)
async def test_stream_that_was_reset_costs_nothing(transport: Transport) -> None:
    """No event of the log is retained any more; what follows comes, if only after a minute."""
    log = MemoryLog()
    async with streaming(transport=transport) as world:
        with kept(world, log):
            for number in range(10):
                change(world, number)
            await world.until(lambda: len(log.events) == 20)
            world.sandbox.faults.reset_stream()
            world.sandbox.faults.forget_client()
            world.sandbox.faults.end_stream(times=2)
            for number in range(10, 40):
                change(world, number)
                await world.clock.turn(3)
            await world.until(lambda: len(log.events) == 80, turning=2)

        changes = [event.id for event in log.events if event.channel == CHANGES]
        assert changes == [f"t{number}:1:001{number % 5}" for number in range(40)]
