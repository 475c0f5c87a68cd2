"""Scenario of the demo: opportunities are won in the org."""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from streamer.clock import Clock
from streamer.demo.chain import INVOICE, SALES_CHANNEL, SHIPMENT, WRITE_BACK
from streamer.events import SubscriberName
from streamer.sandbox.org.org import SandboxOrg

BIG_DEAL = 400_000

_CUSTOMERS = ("Acme", "Globex", "Initech", "Umbrella", "Stark", "Wayne", "Hooli", "Vehement")
# An opportunity is created, and then won.
_CHANGES = 2
# Slack takes one message a second.
_BIG_EVERY = 20
_BIG_EVERY_S = 2
# The longest outage is shorter, so a machine that keeps up never waits.
_MOST_ON_THEIR_WAY_S = 15
_LOOK_S = 0.05


@dataclass(slots=True, kw_only=True)
class Scenario:
    """Wins one opportunity after the other, and knows which ones each target must handle.

    `per_second` are the changes of opportunities by people: an opportunity is
    created, and then won. The targets' write-backs come on top of them. `expected`
    are the records whose sale must reach each target, once.

    The rate adapts to the machine: nobody wins an opportunity while the sales
    of 15 seconds are on their way. `ended` returns the number of sales that have
    taken every step.
    """

    org: SandboxOrg
    clock: Clock
    per_second: float
    ended: Callable[[], int]
    has_waited: bool = False
    dice: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - a story, no secret
    expected: defaultdict[SubscriberName, set[str]] = field(default_factory=lambda: defaultdict(set))
    _won: int = 0

    @property
    def sent(self) -> int:
        """Number of messages that the org has published, those of written-back numbers included."""
        return self.org.published

    async def run(self) -> None:
        """Win opportunities until cancelled."""
        pause_s = _CHANGES / self.per_second
        most = max(1, round(_MOST_ON_THEIR_WAY_S / pause_s))
        due = self.clock.monotonic()
        while True:
            if len(self.expected[WRITE_BACK]) - self.ended() >= most:
                self.has_waited = True
                await self.clock.sleep(_LOOK_S)
                continue
            self._win_next()
            # A burst of what a busy machine has missed would keep it busy.
            due = max(due, self.clock.monotonic() - pause_s) + pause_s
            await self.clock.sleep(due - self.clock.monotonic())

    def _win_next(self) -> None:
        every = max(_BIG_EVERY, round(self.per_second * _BIG_EVERY_S / _CHANGES))
        is_big = self._won % every == 0
        self._won += 1
        record_id = self._win(self.dice.randrange(BIG_DEAL, 2 * BIG_DEAL) if is_big else self._small_amount())
        self._expect(record_id, INVOICE, SHIPMENT, WRITE_BACK, *([SALES_CHANNEL] if is_big else []))

    def win_refused(self) -> str:
        """Win an opportunity that fulfilment refuses, and return its id: no step comes after the shipment."""
        record_id = self._win(self._small_amount())
        self._expect(record_id, INVOICE, SHIPMENT)
        return record_id

    def _expect(self, record_id: str, *steps: SubscriberName) -> None:
        for step in steps:
            self.expected[step].add(record_id)

    def _small_amount(self) -> int:
        return self.dice.randrange(500, BIG_DEAL)

    def _win(self, amount: int) -> str:
        with self.org.transaction() as transaction:
            record_id = transaction.create(
                "Opportunity",
                {
                    "Name": f"{self.dice.choice(_CUSTOMERS)} renewal",
                    "StageName": "Negotiation",
                    "CloseDate": "2027-01-31",
                    "Amount": amount - 1,
                },
            )
        with self.org.transaction() as transaction:
            transaction.update("Opportunity", record_id, {"StageName": "Closed Won", "Amount": amount})
        return record_id
