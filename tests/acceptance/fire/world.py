"""The servers and daemons of one trial, and the faults that can strike them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.cometd import CometdLimits
from streamer.sandbox.pubsub import PubSubLimits
from streamer.sandbox.server import SandboxSettings
from streamer.sandbox.targets import FulfillmentReceiver
from streamer.settings import Transport
from tests.acceptance.fire.cabling import Kafka
from tests.acceptance.fire.fleet import Fleet, Member
from tests.acceptance.fire.schedule import (
    HALF_OPEN,
    NEW_SCHEMA,
    SESSION_S,
    STREAM_TROUBLES,
    Fault,
    Kind,
    Part,
    Profile,
)
from tests.acceptance.fire.struck import Strikes
from tests.acceptance.kept import KeptInKafka
from tests.acceptance.stream_faults import ENDS, change_schema, strike
from tests.configuration import over_pubsub, sandbox_configuration, written
from tests.waiting import until
from tools.proxy import TcpProxy

SLOW_TARGET_S = 0.01
_ALL = {"on": "salesforce.*", "start": "earliest"}
# A third subscriber that delivers everything would need a third more processor time.
_SOURCES: Mapping[str, dict[str, Any]] = {
    "shipment": _ALL,
    "returns": _ALL,
    "packing": {"after": "shipment", "on": "salesforce.cdc.Account.*"},
}
CHAIN = ("shipment", "packing")
"""Two steps of a chain. The second step takes the changes of accounts only."""

_MOST_SESSIONS = 4
_LOST_WITHIN_S = 30.0
_STRUCK_WITHIN_S = 10.0
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgCable:
    """One daemon's way to the org: to its HTTP server, and to its Pub/Sub API."""

    http: TcpProxy
    pubsub: TcpProxy


@dataclass(slots=True, kw_only=True)
class World:
    """One org, three targets, some brokers, and daemons that each have cables of their own.

    Accounts that `shipment` has delivered go on to `packing`.
    """

    sandbox: Sandbox
    org_cables: Sequence[OrgCable]
    kafka: Kafka
    kept: KeptInKafka
    targets: dict[str, FulfillmentReceiver]
    fleet: Fleet
    strikes: Strikes
    _locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def strike(self, fault: Fault) -> None:
        """Let `fault` happen and pass; returns when everything is as it was."""
        enact = {
            Part.DAEMON: self._trouble_daemon,
            Part.BROKER: self._trouble_broker,
            Part.KAFKA_CABLE: self._cut_kafka,
            Part.ORG_CABLE: self._cut_org,
            Part.ORG: self._trouble_org,
            Part.STREAM: self._trouble_stream,
            Part.TARGET: self._trouble_target,
        }[fault.part]
        # Two things at once are what we want, but not to the same daemon, and
        # brokers that are away together keep no promise of theirs.
        name = fault.part if fault.part is Part.BROKER else f"{fault.part} {fault.who}"
        async with self._locks[name]:
            with self.strikes.noting(fault.kind):
                await enact(fault)

    async def _trouble_daemon(self, fault: Fault) -> None:
        member = self.fleet.members[fault.who]
        if fault.kind in {Kind.ZOMBIE, Kind.ROUSED, Kind.NAP}:
            gains = self.fleet.gains
            member.freeze()
            if fault.kind is Kind.ROUSED:
                await self._others_gain(gains)
            await asyncio.sleep(fault.lasts_s)
            member.thaw()
            return
        await (member.kill() if fault.kind is Kind.KILL else member.stop())
        await asyncio.sleep(fault.lasts_s)
        await member.start()

    async def _others_gain(self, before: int) -> None:
        """Wait until some daemon has gained channels; what nobody wants to take over is not waited for."""

        async def gained() -> bool:
            return self.fleet.gains > before

        with suppress(AssertionError):
            await until(gained, limit_s=_MOST_SESSIONS * SESSION_S, every_s=_LOOK_S)

    async def _trouble_broker(self, fault: Fault) -> None:
        broker = self.kafka.brokers[fault.who]
        if fault.kind is Kind.BROKER_FREEZE:
            broker.freeze()
            await asyncio.sleep(fault.lasts_s)
            broker.thaw()
            return
        if fault.kind is Kind.BROKER_KILL:
            broker.kill()
            await asyncio.sleep(fault.lasts_s)
        await asyncio.to_thread(broker.restart)

    async def _cut_kafka(self, fault: Fault) -> None:
        strands = self.kafka.cables[fault.who].strands
        for strand in strands:
            _cut(strand, fault.kind)
        await asyncio.sleep(fault.lasts_s)
        for strand in strands:
            strand.mend()

    async def _cut_org(self, fault: Fault) -> None:
        cable = self.org_cables[fault.who]
        for strand in (cable.http, cable.pubsub):
            _cut(strand, fault.kind)
        await asyncio.sleep(fault.lasts_s)
        for strand in (cable.http, cable.pubsub):
            strand.mend()

    async def _trouble_org(self, fault: Fault) -> None:
        match fault.kind:
            case Kind.TOKENS_REVOKED:
                self.sandbox.tokens.revoke_all()
            case Kind.ANSWER_LOST:
                self.sandbox.faults.lose_response()
            case _:
                await self.sandbox.__aexit__(None, None, None)
                await asyncio.sleep(fault.lasts_s)
                await self.sandbox.__aenter__()

    async def _trouble_stream(self, fault: Fault) -> None:
        trouble = STREAM_TROUBLES[fault.who]
        if trouble == NEW_SCHEMA:
            change_schema(self.sandbox, round(1000 * fault.at_s))
            return
        armed = [("half_open", {})] if trouble == HALF_OPEN else ENDS[trouble]
        # All daemons can be away.
        with suppress(AssertionError):
            await strike(self.sandbox, armed, within_s=_STRUCK_WITHIN_S)
        if trouble == HALF_OPEN:
            await asyncio.sleep(fault.lasts_s)
        for name, _ in armed:
            self.sandbox.faults.heal(name)

    async def _trouble_target(self, fault: Fault) -> None:
        target = self.targets["shipment"]
        if fault.kind is Kind.DELIVERY_UNANSWERED:
            await self._lose_answers(target, 3)
            return
        target.faults.down = True
        await asyncio.sleep(fault.lasts_s)
        target.faults.down = False

    async def _lose_answers(self, target: FulfillmentReceiver, number: int) -> None:
        """Lose the answers of the next deliveries, however late other faults let them come."""

        async def lost() -> bool:
            return target.faults.lose_answers == 0

        target.faults.lose_answers = number
        with suppress(AssertionError):
            await until(lost, limit_s=_LOST_WITHIN_S, every_s=_LOOK_S)
        target.faults.lose_answers = 0


@asynccontextmanager
async def world(kafka: Kafka, profile: Profile, directory: Path) -> AsyncIterator[World]:
    """Run everything but the brokers inside the context, once all daemons are ready."""
    clock = SystemClock()
    settings = SandboxSettings(
        cometd=CometdLimits(response_events=300), pubsub=PubSubLimits(refuse_excess=True)
    )
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(clock, pubsub_port=0, settings=settings))
        org_cables = [await _org_cable(stack, sandbox) for _ in range(profile.daemons)]
        targets = {name: await stack.enter_async_context(FulfillmentReceiver(clock)) for name in _SOURCES}
        targets["shipment"].faults.slow_s = SLOW_TARGET_S
        kept = KeptInKafka(kafka.bootstrap)
        configs = [
            _config(cable.bootstrap, _org(org_cable, profile.transport), kept, targets)
            for cable, org_cable in zip(kafka.cables, org_cables, strict=True)
        ]
        members = [
            Member(number=number, config=_written(directory / str(number), config))
            for number, config in enumerate(configs)
        ]
        kafka.delay(profile.delay_s)
        strikes = Strikes(clock=clock, answer_s=2 * profile.delay_s)
        await stack.enter_async_context(strikes.noting_starvation())
        fleet = await stack.enter_async_context(Fleet(members=members))
        await fleet.ready()
        yield World(
            sandbox=sandbox,
            org_cables=org_cables,
            kafka=kafka,
            kept=kept,
            targets=targets,
            fleet=fleet,
            strikes=strikes,
        )


def _cut(cable: TcpProxy, kind: Kind) -> None:
    match kind:
        case Kind.KAFKA_STALL | Kind.ORG_STALL:
            cable.stall()
        case Kind.KAFKA_RESET | Kind.ORG_RESET:
            cable.reset()
        case Kind.KAFKA_BLACK_HOLE | Kind.ORG_BLACK_HOLE:
            cable.black_hole()
        case _:
            cable.black_hole(answers_only=True)


async def _org_cable(stack: AsyncExitStack, sandbox: Sandbox) -> OrgCable:
    ports = (_port(sandbox.url), _port(sandbox.pubsub_address))
    http, pubsub = [await stack.enter_async_context(TcpProxy(port)) for port in ports]
    return OrgCable(http=http, pubsub=pubsub)


def _config(
    bootstrap: str, org: dict[str, Any], kept: KeptInKafka, targets: Mapping[str, FulfillmentReceiver]
) -> dict[str, Any]:
    kafka = kept.configuration["kafka"] | {
        "bootstrap_servers": bootstrap,
        "session_timeout_s": SESSION_S,
        # Troubles outlast it now and then, so that producers are discarded.
        "append_deadline_s": 3,
        "transaction_timeout_s": 6,
    }
    subscribers = {
        name: _SOURCES[name]
        | {
            "uses": "fulfillment",
            "receipts": True,
            "max_in_flight": 16,
            "deliver_timeout_s": 5,
            "retry": {"first_delay_s": 0.1, "max_delay_s": 0.5},
            "settings": {"url": target.url, "order": "id"},
        }
        for name, target in targets.items()
    }
    return org | {"log": {"kafka": kafka}, "subscribers": subscribers, "grace_period_s": 10}


def _org(cable: OrgCable, transport: Transport) -> dict[str, Any]:
    """Return the configuration, without log and subscribers, of a daemon that reads through `cable`."""
    configuration = sandbox_configuration(f"http://localhost:{cable.http.port}", log={})
    if transport is Transport.PUBSUB:
        return over_pubsub(configuration, cable.pubsub.address)
    return configuration


def _written(directory: Path, configuration: dict[str, Any]) -> Path:
    directory.mkdir()
    return written(directory, configuration)


def _port(address: str) -> int:
    return int(address.rsplit(":", 1)[1])
