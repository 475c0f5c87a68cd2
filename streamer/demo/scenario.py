"""Scenario of the demo: opportunities are won and orders are placed in the org."""

import random
from collections import Counter
from dataclasses import dataclass, field

from streamer.clock import Clock
from streamer.events import EventId, SubscriberName
from streamer.sandbox.org.org import Org

ORDER_PLACED = "Order_Placed__e"
BIG_DEAL = 400_000
INVOICE, SHIPMENT, SALES_CHANNEL = (
    SubscriberName("invoice"),
    SubscriberName("shipment"),
    SubscriberName("sales-channel"),
)

_CUSTOMERS = ("Acme", "Globex", "Initech", "Umbrella", "Stark", "Wayne", "Hooli", "Vehement")
# Slack takes one message a second. The number is even, because every other step is an order.
_BIG_EVERY = 40
_BIG_EVERY_S = 2


@dataclass(slots=True, kw_only=True)
class Scenario:
    """Makes one change after the other, and counts the events that each target must get.

    `sent` counts the messages on the channels that the daemon reads.
    """

    org: Org
    clock: Clock
    per_second: float
    dice: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - a story, no secret
    sent: int = 0
    expected: Counter[SubscriberName] = field(default_factory=Counter)
    _steps: int = 0

    async def run(self) -> None:
        """Make changes until cancelled."""
        pause_s = 1.0 / self.per_second
        due = self.clock.monotonic()
        while True:
            if self._steps % 2:
                self.place_order()
            else:
                self._win_opportunity()
            self._steps += 1
            due += pause_s
            await self.clock.sleep(due - self.clock.monotonic())

    def _win_opportunity(self) -> None:
        customer = self.dice.choice(_CUSTOMERS)
        is_big = self._steps % max(_BIG_EVERY, _BIG_EVERY_S * round(self.per_second)) == 0
        amount = self.dice.randrange(BIG_DEAL, 2 * BIG_DEAL) if is_big else self.dice.randrange(500, BIG_DEAL)
        with self.org.transaction() as transaction:
            record_id = transaction.create(
                "Opportunity",
                {
                    "Name": f"{customer} renewal",
                    "StageName": "Negotiation",
                    "CloseDate": "2027-01-31",
                    "Amount": amount,
                },
            )
        with self.org.transaction() as transaction:
            transaction.update("Opportunity", record_id, {"StageName": "Closed Won", "Amount": amount + 1})
        self.sent += 2
        self.expected[INVOICE] += 1
        self.expected[SALES_CHANNEL] += is_big

    def place_order(self) -> EventId:
        """Place an order, and return the id of its event."""
        self.sent += 1
        self.expected[SHIPMENT] += 1
        number = f"A-{self.expected[SHIPMENT]:05d}"
        event_uuid = self.org.publish_platform_event(
            ORDER_PLACED, {"Order_No__c": number, "Amount__c": self.dice.randrange(10, 900)}
        )
        return EventId(event_uuid)
