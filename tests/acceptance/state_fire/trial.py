"""One trial: a random history of an org, faults of all kinds, and the verdict on the topics."""

import asyncio
import random
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not marked so
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewPartitions

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests.acceptance.fire.cabling import Kafka
from tests.acceptance.fire.fleet import Fleet, Member
from tests.acceptance.state_fire.tables import (
    COUNTER,
    ChangeTopics,
    StateTopic,
    complaints,
    differences,
    of_org,
    read_whole,
    reading,
)
from tests.configuration import sandbox_configuration, written
from tests.waiting import until

OBJECTS = ("Account", "Contact")
DAEMONS = 2
ENVELOPES = ("streamer", "flat", "debezium")

_RECORDS = 30
_STEPS = 150
_STEP_S = 0.05
_STILL_S = 180.0
_CITIES = ("Oslo", "Lyon", "Bonn", None)


@dataclass(slots=True, kw_only=True)
class History:
    """Random changes of the records of an org, each with a number in its record."""

    sandbox: Sandbox
    dice: random.Random
    _known: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in OBJECTS})
    _deleted: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in OBJECTS})
    _count: int = 0

    def step(self) -> None:
        """Commit one transaction."""
        entity = self.dice.choice(OBJECTS)
        known, deleted = self._known[entity], self._deleted[entity]
        with self.sandbox.org.transaction() as transaction:
            match self.dice.choices(("change", "many", "delete", "undelete"), (8, 3, 2, 2))[0]:
                case "delete" if known:
                    deleted.append(known.pop(self.dice.randrange(len(known))))
                    transaction.delete(entity, deleted[-1])
                case "undelete" if deleted:
                    known.append(deleted.pop(self.dice.randrange(len(deleted))))
                    transaction.undelete(entity, known[-1])
                case "many" if len(known) > 1:
                    for record_id in self.dice.sample(known, min(len(known), self.dice.randint(2, 20))):
                        transaction.update(entity, record_id, self._fields(entity))
                case _ if len(known) + len(deleted) < _RECORDS or not known:
                    name = "Name" if entity == "Account" else "LastName"
                    fields = {name: f"No {len(known)}", **self._fields(entity)}
                    known.append(transaction.create(entity, fields))
                case _:
                    transaction.update(entity, self.dice.choice(known), self._fields(entity))

    def _fields(self, entity: str) -> dict[str, Any]:
        self._count += 1
        more: dict[str, Any] = {"Phone": self.dice.choice(("1", "2", None))}
        if entity == "Account":
            more |= {
                "BillingCity": self.dice.choice(_CITIES),
                "AnnualRevenue": self.dice.choice((1.5, 20, None)),
            }
        else:
            more |= {"FirstName": self.dice.choice(("Ann", "Bo", None))}
        chosen = self.dice.sample(sorted(more), self.dice.randint(0, len(more)))
        return {COUNTER: f"change {self._count}", **{name: more[name] for name in chosen}}


@dataclass(slots=True, kw_only=True)
class World:
    """An org, brokers, and daemons that keep states."""

    sandbox: Sandbox
    kafka: Kafka
    fleet: Fleet
    prefix: str
    envelope: str
    folders: Sequence[Path]
    dice: random.Random
    struck: list[str] = field(default_factory=list)

    @property
    def faults(self) -> Sequence[tuple[str, Callable[[], Awaitable[None]]]]:
        """Everything that can happen, by name."""
        return (
            ("kill", self._kill),
            ("kill and lose the copies", self._kill_and_lose),
            ("kill and damage the copies", self._kill_and_damage),
            ("stop", self._stop),
            ("freeze", self._freeze),
            ("kill the broker", self._kill_broker),
            ("freeze the broker", self._freeze_broker),
            ("reset the connections to Kafka", self._reset),
            ("lose what is said to Kafka", self._black_hole),
            ("add partitions", self._add_partitions),
            ("compact", self.compact),
        )

    async def strike(self) -> None:
        """Let one fault happen and pass."""
        name, happen = self.dice.choice(self.faults)
        self.struck.append(name)
        await happen()

    def state_topic(self, entity: str) -> str:
        """Return the name of an object's state topic."""
        return f"{self.prefix}.state.{entity}"

    def change_topic(self, entity: str) -> str:
        """Return the name of the topic of an object's changes."""
        return f"{self.prefix}.cdc.{entity}"

    async def compact(self) -> None:
        """Let the broker compact the state topics all the time, from now on."""
        settings = {"segment.ms": "500", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "1000"}
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in settings.items()
        ]
        resources = [
            ConfigResource(ResourceType.TOPIC, self.state_topic(each), incremental_configs=entries)
            for each in OBJECTS
        ]
        await self._administer(lambda admin: admin.incremental_alter_configs(resources))

    async def _add_partitions(self) -> None:
        topic = self.change_topic(self.dice.choice(OBJECTS))

        def add(admin: AdminClient) -> Any:
            present = len(admin.list_topics(topic, timeout=10).topics[topic].partitions)
            return admin.create_partitions([NewPartitions(topic, present + 1)])

        await self._administer(add)

    async def _administer(self, request: Callable[[AdminClient], Any]) -> None:
        def call() -> None:
            admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap, "log_level": 0})
            for answer in request(admin).values():
                # The topic may not exist yet, or the broker may be away.
                with suppress(KafkaException):
                    answer.result(10)

        with suppress(KafkaException):
            await asyncio.to_thread(call)

    async def _kill(self) -> None:
        member = self.dice.choice(self.fleet.members)
        await member.kill()
        await asyncio.sleep(self.dice.uniform(0, 2))
        await member.start()

    async def _kill_and_lose(self) -> None:
        member = self.dice.choice(self.fleet.members)
        await member.kill()
        shutil.rmtree(self.folders[member.number], ignore_errors=True)
        await member.start()

    async def _kill_and_damage(self) -> None:
        member = self.dice.choice(self.fleet.members)
        await member.kill()
        for path in self.folders[member.number].rglob("*.db"):
            with path.open("r+b") as file:
                file.seek(self.dice.randrange(0, max(1, path.stat().st_size)))
                file.write(self.dice.randbytes(4096))
        await member.start()

    async def _stop(self) -> None:
        member = self.dice.choice(self.fleet.members)
        await member.stop()
        await member.start()

    async def _freeze(self) -> None:
        member = self.dice.choice(self.fleet.members)
        member.freeze()
        await asyncio.sleep(self.dice.uniform(0.2, 4))
        member.thaw()

    async def _kill_broker(self) -> None:
        [broker] = self.kafka.brokers
        broker.kill()
        await asyncio.sleep(self.dice.uniform(0, 2))
        await asyncio.to_thread(broker.restart)

    async def _freeze_broker(self) -> None:
        [broker] = self.kafka.brokers
        broker.freeze()
        await asyncio.sleep(self.dice.uniform(0.2, 4))
        broker.thaw()

    async def _reset(self) -> None:
        for strand in self.dice.choice(self.kafka.cables).strands:
            strand.reset()
            strand.mend()

    async def _black_hole(self) -> None:
        strands = self.dice.choice(self.kafka.cables).strands
        for strand in strands:
            strand.black_hole()
        await asyncio.sleep(self.dice.uniform(0.2, 5))
        for strand in strands:
            strand.mend()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Verdict on a trial: the faults that happened, and what is wrong with the topics."""

    struck: Sequence[str]
    wrong: Sequence[str]

    def __str__(self) -> str:
        told = f"{'WRONG' if self.wrong else 'right'} after: {', '.join(self.struck)}"
        return "\n  ".join([told, *self.wrong])


async def trial(seed: int, kafka: Kafka, directory: Path) -> Verdict:
    """Play the history of `seed`, and judge the topics."""
    dice = random.Random(seed)  # noqa: S311 - draws a test
    envelope = ENVELOPES[seed % len(ENVELOPES)]
    async with _world(kafka, envelope, dice, directory) as world:
        states = {world.state_topic(each): StateTopic(each, envelope) for each in OBJECTS}
        async with reading(kafka.bootstrap, states):
            playing = asyncio.create_task(_play(world, random.Random(seed + 1)))  # noqa: S311 - as above
            for _ in range(dice.randint(2, 5)):
                await asyncio.sleep(dice.uniform(0.5, 2))
                await world.strike()
            await playing
            found = await _settled(world, states)
        await world.fleet.stop()
        found += [each for topic in states.values() for each in complaints("read along", topic.mistakes)]
        found += await _read_after_all(world)
        found += world.fleet.complaints
        if not all(topic.count for topic in states.values()):
            found.append("no state was read along, so this trial shows nothing")
        return Verdict(struck=world.struck, wrong=found)


async def _play(world: World, dice: random.Random) -> None:
    history = History(sandbox=world.sandbox, dice=dice)
    for _ in range(_STEPS):
        history.step()
        await asyncio.sleep(_STEP_S)


async def _settled(world: World, states: dict[str, StateTopic]) -> list[str]:
    """Wait until the tables are as the org, or nothing moves any more; return the differences."""

    def wrong() -> list[str]:
        return [
            f"state of {topic.entity} {each}"
            for topic in states.values()
            for each in differences(of_org(world.sandbox, topic.entity), topic.table)
        ]

    async def is_right() -> bool:
        return not wrong() and await world.fleet.is_ready()

    with suppress(AssertionError):
        await until(
            is_right,
            every_s=0.25,
            progress=lambda: [topic.count for topic in states.values()],
            limit_s=_STILL_S,
        )
    return wrong()


async def _read_after_all(world: World) -> list[str]:
    """Return what a consumer finds wrong that comes late: in the states, and in the changes."""
    found: list[str] = []
    for entity in OBJECTS:
        expected = of_org(world.sandbox, entity)
        topic, changes = StateTopic(entity, world.envelope), ChangeTopics(entity)
        await read_whole(
            world.kafka.bootstrap, {world.state_topic(entity): topic, world.change_topic(entity): changes}
        )
        found += [f"state read later: {each}" for each in differences(expected, topic.table)]
        found += [f"sum of changes: {each}" for each in differences(expected, changes.table)]
        found += complaints("read later", [*topic.mistakes, *changes.mistakes])
    return found


@asynccontextmanager
async def _world(kafka: Kafka, envelope: str, dice: random.Random, directory: Path) -> AsyncIterator[World]:
    prefix = f"fire{uuid.uuid4().hex[:8]}"
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(SystemClock()))
        members, folders = [], []
        for number, cable in enumerate(kafka.cables):
            place = directory / str(number)
            place.mkdir(parents=True)
            folders.append(place / "state")
            log = {
                "bootstrap_servers": cable.bootstrap,
                "prefix": prefix,
                "topic": f"{prefix}.{{kind}}.{{name}}",
                "state_topic": f"{prefix}.state.{{name}}",
                "state_directory": str(folders[-1]),
                "state_envelope": envelope,
                "partitions": 2,
                "session_timeout_s": 1,
                "append_deadline_s": 3,
                "transaction_timeout_s": 6,
                "options": {"topic.metadata.refresh.interval.ms": 1000},
            }
            configuration = sandbox_configuration(
                sandbox.url, log={"kafka": log}, state={"objects": list(OBJECTS)}
            )
            members.append(Member(number=number, config=written(place, configuration)))
        fleet = await stack.enter_async_context(Fleet(members=members))
        await fleet.ready()
        yield World(
            sandbox=sandbox,
            kafka=kafka,
            fleet=fleet,
            prefix=prefix,
            envelope=envelope,
            folders=folders,
            dice=dice,
        )
