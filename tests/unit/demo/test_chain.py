"""The demo knows which steps its targets have taken, and in which order."""

from streamer.clock import TurnedClock
from streamer.demo.scenario import INVOICE, KEY_FIELD, SALES_CHANNEL, SHIPMENT, WRITE_BACK, Steps
from streamer.sandbox import Sandbox
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.targets import ErpReceiver, FulfillmentReceiver, JournalEntry, SlackReceiver
from streamer.sandbox.targets.receiver import Receiver


class Chain:
    """An org and three receivers, with the steps that they take."""

    def __init__(self) -> None:
        clock = TurnedClock()
        self.org: SandboxOrg = Sandbox(clock).org
        self.receivers: dict[str, Receiver] = {
            INVOICE: ErpReceiver(clock),
            SHIPMENT: FulfillmentReceiver(clock),
            SALES_CHANNEL: SlackReceiver(clock),
        }
        self.steps = Steps.watched(
            {name: self.receivers[name] for name in (INVOICE, SHIPMENT, SALES_CHANNEL)}, self.org
        )

    def receive(self, name: str, event: str, *, accepted: bool = True) -> None:
        """Let a receiver get a delivery of an event."""
        self.receivers[name].journal.add(
            JournalEntry(
                at=0.0,
                key=f"{event}:{name}",
                method="POST",
                path="/",
                body={},
                status=200 if accepted else 500,
                accepted=accepted,
            )
        )

    def write_back(self, event: str) -> None:
        """Create a record that was written by a delivery of an event."""
        with self.org.transaction() as transaction:
            transaction.create("Account", {"Name": "Acme", KEY_FIELD: f"{event}:{WRITE_BACK}"})


def test_steps_in_turn_are_taken_and_none_is_early() -> None:
    """A repeated delivery does not count as another step."""
    chain = Chain()
    for name in (INVOICE, SHIPMENT, SHIPMENT):
        chain.receive(name, "t:1:006A")
    chain.write_back("t:1:006A")
    chain.receive(SALES_CHANNEL, "t:1:006A")

    assert {name: dict(keys) for name, keys in chain.steps.taken.items()} == {
        INVOICE: {"t:1:006A:invoice": 1},
        SHIPMENT: {"t:1:006A:shipment": 2},
        WRITE_BACK: {"t:1:006A:write-back": 1},
        SALES_CHANNEL: {"t:1:006A:sales-channel": 1},
    }
    assert not chain.steps.early


def test_step_before_the_one_before_it_is_early() -> None:
    """The step before must be accepted for the same event; another event's step does not count."""
    chain = Chain()
    chain.receive(INVOICE, "t:1:006A")
    chain.receive(INVOICE, "t:1:006B", accepted=False)
    chain.receive(SHIPMENT, "t:1:006B")
    chain.write_back("t:1:006A")
    chain.receive(SALES_CHANNEL, "t:1:006C")

    assert chain.steps.early == {SHIPMENT: 1, WRITE_BACK: 1, SALES_CHANNEL: 1}
