"""An org with many changes, in every kind of transaction."""

import asyncio
import random
from dataclasses import dataclass, field

from streamer.sandbox import Sandbox
from tests.configuration import ORDER_KEY

_RECORDS = 60
_TYPES = ("Account", "Contact")


@dataclass(slots=True, kw_only=True)
class BusyOrg:
    """Changes a few records again and again: alone, together, in one merged change, beside orders."""

    sandbox: Sandbox
    dice: random.Random
    _ids: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in _TYPES})
    _count: int = 0

    async def send(self, total: int, *, per_second: float) -> None:
        """Send at about this rate until there are `total` messages."""
        began, before = asyncio.get_running_loop().time(), self.sandbox.org.published
        while (published := self.sandbox.org.published) < total:
            self._happen()
            ahead_s = (published - before) / per_second - (asyncio.get_running_loop().time() - began)
            await asyncio.sleep(max(0.0, ahead_s))

    def _happen(self) -> None:
        self._count += 1
        match self.dice.choices(("alone", "together", "merged", "order", "bin"), (6, 4, 2, 3, 1))[0]:
            case "alone":
                self._change(1)
            case "together":
                self._change(self.dice.randrange(2, 30))
            case "merged":
                self._change_alike(self.dice.randrange(2, 8))
            case "order":
                fields = {ORDER_KEY: f"A-{self.dice.randrange(20)}", "Number__c": self._count}
                self.sandbox.org.publish_platform_event("Order_Placed__e", fields)
            case "bin":
                self._delete_and_undelete()

    def _change(self, records: int) -> None:
        with self.sandbox.org.transaction() as transaction:
            for number in range(records):
                kind = self.dice.choice(_TYPES)
                fields = {
                    "Number__c": self._count * 100 + number,
                    "Description": f"{self._count} " + "x" * 50,
                }
                if len(self._ids[kind]) < _RECORDS:
                    name = "Name" if kind == "Account" else "LastName"
                    self._ids[kind].append(transaction.create(kind, {name: f"No {number}", **fields}))
                else:
                    transaction.update(kind, self.dice.choice(self._ids[kind]), fields)

    def _change_alike(self, records: int) -> None:
        with self.sandbox.org.transaction() as transaction:
            known = self._ids["Account"]
            for record_id in self.dice.sample(known, min(records, len(known))):
                transaction.update(
                    "Account", record_id, {"Number__c": self._count * 100, "Description": None}
                )

    def _delete_and_undelete(self) -> None:
        if not self._ids["Contact"]:
            return
        record_id = self.dice.choice(self._ids["Contact"])
        for bring in ("delete", "undelete"):
            with self.sandbox.org.transaction() as transaction:
                getattr(transaction, bring)("Contact", record_id)
