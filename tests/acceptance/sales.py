"""An org that wins opportunities and changes won ones, and the events of these changes."""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import orjson

from streamer.sandbox import Sandbox
from tests.acceptance.sent import Seen
from tests.configuration import CHANGES

CLIENT = "acme-bus"
KEY_FIELD = "Delivery_Key__c"
NUMBER_FIELD = "Invoice_Number__c"

_RECORDS = 12


@dataclass(slots=True, kw_only=True)
class Sales:
    """Changes won opportunities again and again: alone, together, and in one merged change."""

    sandbox: Sandbox
    dice: random.Random
    records: list[str] = field(default_factory=list)
    changed: int = 0
    _count: int = 0

    async def go_on(self, *, per_second: float, is_ahead: Callable[[], bool]) -> None:
        """Open all opportunities, then win and change them at about this rate until cancelled.

        It rests while it `is_ahead` of the daemons, which a slow machine holds up.
        """
        with self.sandbox.org.transaction() as transaction:
            for number in range(_RECORDS):
                fields = {"Name": f"No {number}", "StageName": "Negotiation", "CloseDate": "2027-01-31"}
                self.records.append(transaction.create("Opportunity", fields))
        while True:
            changed = self.dice.sample(self.records, self.dice.choice((1, 1, 2, 4)))
            if not is_ahead():
                self._change(changed, alike=self.dice.random() < 0.3)
            await asyncio.sleep(len(changed) / per_second)

    def _change(self, changed: Sequence[str], *, alike: bool) -> None:
        self._count += 1
        self.changed += len(changed)
        with self.sandbox.org.transaction() as transaction:
            for number, record_id in enumerate(changed):
                # The first of these wins the opportunity.
                amount = self._count * 100 + (0 if alike else number)
                transaction.update("Opportunity", record_id, {"StageName": "Closed Won", "Amount": amount})


@dataclass(frozen=True, slots=True)
class Update(Seen):
    """Event of one update of a record.

    `written` is the key of the delivery that has changed the record. A change
    by the daemon without it has repeated a write-back, and changed nothing.
    """

    is_own: bool
    written: str | None


def updates_of(sandbox: Sandbox) -> list[Update]:
    """Return every update in the org's order, told from the bytes on its bus."""
    return list(_updates(sandbox))


def _updates(sandbox: Sandbox) -> Iterator[Update]:
    for message in sandbox.bus.after(CHANGES, 0):
        payload = orjson.loads(message.data)["payload"]
        header = payload["ChangeEventHeader"]
        if header["changeType"] == "UPDATE":
            is_own = f"client={CLIENT}" in header["changeOrigin"].split(";")
            transaction = f"{header['transactionKey']}:{header['sequenceNumber']}"
            for record_id in header["recordIds"]:
                yield Update(record_id, f"{transaction}:{record_id}", is_own, payload.get(KEY_FIELD))
