"""The fault bench reports daemons that finish their work only because they are stopped."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streamer.clock import Clock, TurnedClock
from streamer.events import JsonObject
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import FulfillmentReceiver
from streamer.sandbox.targets.journal import JournalEntry
from tests.acceptance.fire.cabling import Kafka
from tests.acceptance.fire.fleet import Fleet
from tests.acceptance.fire.struck import Strikes
from tests.acceptance.fire.trial import judge
from tests.acceptance.fire.world import CHAIN, World
from tests.acceptance.kept import KeptInKafka
from tests.acceptance.sent import Seen, sent_by

_STILL_S = 0.01


class KeptInMemory(KeptInKafka):
    """A log in memory; the consumer that reads along sees nothing if it `stands_still`."""

    def __init__(self) -> None:
        super().__init__("nowhere")
        self.committed: list[Seen] = []
        self.recorded: list[JsonObject] = []
        self.stands_still = False

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[KeptInKafka]:
        """Read along."""
        yield self

    @asynccontextmanager
    async def read_whole(self) -> AsyncIterator[KeptInKafka]:
        """Read everything."""
        whole = KeptInMemory()
        whole.committed, whole.recorded = self.committed, self.recorded
        yield whole

    async def events(self) -> list[Seen]:
        """Return what can be seen."""
        return [] if self.stands_still else list(self.committed)

    async def receipts(self) -> list[JsonObject]:
        """Return what can be seen."""
        return [] if self.stands_still else list(self.recorded)


class LazyFleet(Fleet):
    """Daemons that write `held_back` and `unrecorded` only when they are stopped."""

    def __init__(self, kept: KeptInMemory) -> None:
        super().__init__(members=())
        self.kept = kept
        self.held_back: list[Seen] = []
        self.unrecorded: list[JsonObject] = []

    async def stop(self) -> None:
        """Finish the work."""
        self.kept.committed += self.held_back
        self.kept.recorded += self.unrecorded


def _world(clock: Clock) -> tuple[World, KeptInMemory, LazyFleet]:
    """Return a trial in which one account was created, delivered and recorded."""
    sandbox, kept = Sandbox(clock), KeptInMemory()
    with sandbox.org.transaction() as transaction:
        transaction.create("Account", {"Name": "Acme"})
    kept.committed = sent_by(sandbox)
    targets = {name: FulfillmentReceiver(clock) for name in CHAIN}
    for event in kept.committed:
        for name, target in targets.items():
            body = {"order": event.id}
            target.journal.add(
                JournalEntry(
                    at=clock.now(), key=None, method="POST", path="/", body=body, status=201, accepted=True
                )
            )
            kept.recorded.append({"subscriber": name, "event_id": event.id, "delivered_at": clock.now()})
    fleet = LazyFleet(kept)
    world = World(
        sandbox=sandbox,
        org_cables=(),
        kafka=Kafka(bootstrap="", brokers=(), cables=()),
        kept=kept,
        targets=targets,
        fleet=fleet,
        strikes=Strikes(clock=clock),
    )
    return world, kept, fleet


async def test_complete_trial_breaks_no_promise() -> None:
    """The log and the receipts are complete before the daemons stop."""
    world, _, _ = _world(TurnedClock())

    assert (await judge(world, still_s=_STILL_S)).broken == []


async def test_log_that_only_a_stop_completes_is_a_finding() -> None:
    """The daemons stood still, although the log is complete in the end."""
    world, kept, fleet = _world(TurnedClock())
    kept.committed, fleet.held_back = [], kept.committed

    assert (await judge(world, still_s=_STILL_S)).broken == [
        "not complete when nothing had moved for 0.01 s: the log"
    ]


async def test_receipts_that_only_a_stop_completes_are_a_finding() -> None:
    """The daemons stood still, although all receipts are there in the end."""
    world, kept, fleet = _world(TurnedClock())
    kept.recorded, fleet.unrecorded = [], kept.recorded

    assert (await judge(world, still_s=_STILL_S)).broken == [
        "not complete when nothing had moved for 0.01 s: the receipts"
    ]


async def test_consumer_that_stands_still_is_no_finding() -> None:
    """The consumer of the bench can stand still, and then a new one reads the log."""
    world, kept, _ = _world(TurnedClock())
    kept.stands_still = True

    assert (await judge(world, still_s=_STILL_S)).broken == []
