"""Scenario of the demo: the org wins opportunities, and targets take the steps of each sale."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from streamer.clock import Clock
from streamer.demo.deals import Deal, DealBoard
from streamer.events import SubscriberName
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.transaction import RecordOperation
from streamer.sandbox.targets.journal import JournalEntry
from streamer.sandbox.targets.receiver import Receiver

INVOICE, SHIPMENT, WRITE_BACK, SALES_CHANNEL = (
    SubscriberName("invoice"),
    SubscriberName("shipment"),
    SubscriberName("write-back"),
    SubscriberName("sales-channel"),
)
BEFORE: Mapping[SubscriberName, SubscriberName | None] = {
    INVOICE: None,
    SHIPMENT: INVOICE,
    WRITE_BACK: SHIPMENT,
    SALES_CHANNEL: WRITE_BACK,
}
TITLES: Mapping[SubscriberName, str] = {
    INVOICE: "ERP",
    SHIPMENT: "Fulfilment",
    WRITE_BACK: "Write-back",
    SALES_CHANNEL: "Slack",
}
"""Names of the targets as people know them."""
KEY_FIELD = "Delivery_Key__c"


def record_of(key: str) -> str:
    """Return the record id in `key`, which is an event's id with or without a subscriber's name.

    The id of a change event ends with the record's id.
    """
    return key.split(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Steps that the targets have taken, according to the targets' own records.

    `taken` counts the accepted attempts of each delivery, by idempotency key.
    `early` counts steps that a target took before the same event's preceding step.
    `deals` follows the deals for the display.
    """

    taken: Mapping[SubscriberName, Counter[str]] = field(
        default_factory=lambda: {name: Counter() for name in BEFORE}
    )
    early: Counter[SubscriberName] = field(default_factory=Counter)
    deals: DealBoard = field(default_factory=DealBoard)

    @classmethod
    def watched(cls, receivers: Mapping[SubscriberName, Receiver], org: SandboxOrg) -> Self:
        """Return an object that counts later steps: at `receivers` and, for the write-back, in `org`."""
        steps = cls()
        for name, receiver in receivers.items():
            receiver.journal.listen(partial(steps._received, name))
        org.listen(steps._changed)
        return steps

    def take(self, name: SubscriberName, key: str) -> None:
        """Record one step by its delivery's idempotency key."""
        before = BEFORE[name]
        # A delivery's key consists of the event's id and the subscriber's name.
        event_id = key.removesuffix(f":{name}")
        if before is not None and f"{event_id}:{before}" not in self.taken[before]:
            self.early[name] += 1
        self.taken[name][key] += 1
        self.deals.take(name, record_of(key))

    def _received(self, name: SubscriberName, received: JournalEntry) -> None:
        if received.accepted and received.key is not None:
            self.take(name, received.key)

    def _changed(self, operations: Sequence[RecordOperation]) -> None:
        for operation in operations:
            if (key := operation.after.get(KEY_FIELD)) is not None:
                self.take(WRITE_BACK, key)


BIG_DEAL = 400_000
_CUSTOMERS = ("Acme", "Globex", "Initech", "Umbrella", "Stark", "Wayne", "Hooli", "Vehement", "Wonka", "Duff")
_PURPOSES = ("renewal", "upgrade", "rollout", "pilot", "licences", "support")
# Each sale makes two changes: the opportunity is created, and then won.
_CHANGES = 2
# Slack accepts one message per second.
_BIG_EVERY = 20
_BIG_EVERY_S = 2
# The longest outage is shorter, so a machine that is fast enough never waits.
_MOST_ON_THEIR_WAY_S = 15
_LOOK_S = 0.05


@dataclass(slots=True, kw_only=True)
class Scenario:
    """Wins one opportunity after the other, and records the sales that each target must handle.

    `per_second` is the rate of changes by people: they create an opportunity, and
    then win it. The write-backs of targets are additional changes. `expected` holds
    for each target the records whose sale must arrive exactly once. `deals` follows
    the deals for the display.

    The rate adapts to the machine: while the sales of 15 seconds are under way, no
    opportunity is won. `ended` returns the number of sales that have taken every
    step.
    """

    org: SandboxOrg
    clock: Clock
    per_second: float
    ended: Callable[[], int]
    deals: DealBoard = field(default_factory=DealBoard)
    has_waited: bool = False
    dice: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - a story, no secret
    expected: defaultdict[SubscriberName, set[str]] = field(default_factory=lambda: defaultdict(set))

    @property
    def sent(self) -> int:
        """Number of messages that the org has published, including write-backs."""
        return self.org.published

    @property
    def deals_per_second(self) -> float:
        """Rate of deals on a machine that is fast enough."""
        return self.per_second / _CHANGES

    async def run(self) -> None:
        """Win opportunities until cancelled."""
        pause_s = 1 / self.deals_per_second
        most = max(1, round(_MOST_ON_THEIR_WAY_S / pause_s))
        due = self.clock.monotonic()
        while True:
            if len(self.expected[WRITE_BACK]) - self.ended() >= most:
                self.has_waited = True
                await self.clock.sleep(_LOOK_S)
                continue
            self._win_next()
            # Catching up with missed sales at once would keep a busy machine busy.
            due = max(due, self.clock.monotonic() - pause_s) + pause_s
            await self.clock.sleep(due - self.clock.monotonic())

    def _win_next(self) -> None:
        every = max(_BIG_EVERY, round(self.per_second * _BIG_EVERY_S / _CHANGES))
        # Each sale that is not refused is written back.
        is_big = len(self.expected[WRITE_BACK]) % every == 0
        amount = self.dice.randrange(BIG_DEAL, 2 * BIG_DEAL) if is_big else self._small_amount()
        self._win(amount, INVOICE, SHIPMENT, WRITE_BACK, *([SALES_CHANNEL] if is_big else []))

    def win_refused(self) -> str:
        """Win an opportunity whose shipment fulfilment rejects, and return the opportunity's id."""
        return self._win(self._small_amount(), INVOICE, SHIPMENT)

    def _small_amount(self) -> int:
        return self.dice.randrange(500, BIG_DEAL)

    def _win(self, amount: int, *steps: SubscriberName) -> str:
        name = f"{self.dice.choice(_CUSTOMERS)} {self.dice.choice(_PURPOSES)}"
        with self.org.transaction() as transaction:
            record_id = transaction.create(
                "Opportunity",
                {
                    "Name": name,
                    "StageName": "Negotiation",
                    "CloseDate": "2027-01-31",
                    "Amount": amount - 1,
                },
            )
        with self.org.transaction() as transaction:
            transaction.update("Opportunity", record_id, {"StageName": "Closed Won", "Amount": amount})
        for step in steps:
            self.expected[step].add(record_id)
        self.deals.win(Deal(record_id=record_id, name=name, amount=amount, steps=steps))
        return record_id
