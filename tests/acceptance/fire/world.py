"""The parts of one trial, and everything that can be done to them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.cometd import CometdLimits
from streamer.sandbox.server import SandboxSettings
from streamer.sandbox.targets import FulfillmentReceiver
from tests.acceptance.fire.cabling import Kafka
from tests.acceptance.fire.fleet import Fleet, Member
from tests.acceptance.fire.schedule import SESSION_S, Fault, Kind, Part, Profile
from tests.acceptance.fire.struck import Strikes
from tests.acceptance.kept import KeptInKafka
from tests.configuration import sandbox_configuration, written
from tests.daemon import until
from tools.proxy import TcpProxy

SLOW_TARGET_S = 0.01
_MOST_SESSIONS = 4
_LOST_WITHIN_S = 30.0
_LOOK_S = 0.05


@dataclass(slots=True, kw_only=True)
class World:
    """One org, two targets, some brokers, and daemons that each have cables of their own."""

    sandbox: Sandbox
    org_cables: Sequence[TcpProxy]
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
            await until(gained, within_s=_MOST_SESSIONS * SESSION_S, every_s=_LOOK_S)

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
        _cut(cable, fault.kind)
        await asyncio.sleep(fault.lasts_s)
        cable.mend()

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
            await until(lost, within_s=_LOST_WITHIN_S, every_s=_LOOK_S)
        target.faults.lose_answers = 0


@asynccontextmanager
async def world(kafka: Kafka, profile: Profile, directory: Path) -> AsyncIterator[World]:
    """Run everything but the brokers inside the context, once all daemons are ready."""
    clock = SystemClock()
    settings = SandboxSettings(cometd=CometdLimits(response_events=300))
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(clock, settings=settings))
        org_cables = [
            await stack.enter_async_context(TcpProxy(_port(sandbox.url))) for _ in range(profile.daemons)
        ]
        targets = {
            name: await stack.enter_async_context(FulfillmentReceiver(clock))
            for name in ("shipment", "returns")
        }
        targets["shipment"].faults.slow_s = SLOW_TARGET_S
        kept = KeptInKafka(kafka.bootstrap)
        ways = [
            (cable.bootstrap, f"http://localhost:{org_cable.port}")
            for cable, org_cable in zip(kafka.cables, org_cables, strict=True)
        ]
        members = [
            Member(number=number, config=_config(directory / str(number), way, kept, targets))
            for number, way in enumerate(ways)
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


def _config(
    directory: Path, way: tuple[str, str], kept: KeptInKafka, targets: Mapping[str, FulfillmentReceiver]
) -> Path:
    bootstrap, url = way
    kafka = kept.configuration["kafka"] | {
        "bootstrap_servers": bootstrap,
        "session_timeout_s": SESSION_S,
        # Troubles outlast it now and then, so that producers are discarded.
        "append_deadline_s": 3,
        "transaction_timeout_s": 6,
    }
    subscribers = {
        name: {
            "uses": "fulfillment",
            "on": "salesforce.*",
            "start": "earliest",
            "receipts": True,
            "max_in_flight": 16,
            "deliver_timeout_s": 5,
            "retry": {"first_delay_s": 0.1, "max_delay_s": 0.5},
            "settings": {"url": target.url, "order": "id"},
        }
        for name, target in targets.items()
    }
    directory.mkdir()
    configuration = sandbox_configuration(
        url, log={"kafka": kafka}, subscribers=subscribers, grace_period_s=10
    )
    return written(directory, configuration)


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1])
