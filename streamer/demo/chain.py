"""Steps of a sale: each target's step, and the step before it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self

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
KEY_FIELD = "Delivery_Key__c"


def record_of(key: str) -> str:
    """Return the id of the record whose change `key` stands for: an event's id, with or without its step.

    The id of a change event ends with its record's.
    """
    return key.split(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Steps that the targets have taken, as they saw them themselves.

    `taken` counts how often each delivery, by its idempotency key, was accepted.
    `early` counts the steps that a target took before the step that comes before
    it was taken for the same event.
    """

    taken: Mapping[SubscriberName, Counter[str]] = field(
        default_factory=lambda: {name: Counter() for name in BEFORE}
    )
    early: Counter[SubscriberName] = field(default_factory=Counter)

    @classmethod
    def watched(cls, receivers: Mapping[SubscriberName, Receiver], org: SandboxOrg) -> Self:
        """Return the steps that are taken at `receivers` and, for the write-back, in `org` from now on."""
        steps = cls()
        for name, receiver in receivers.items():
            receiver.journal.listen(partial(steps._received, name))
        org.listen(steps._changed)
        return steps

    def take(self, name: SubscriberName, key: str) -> None:
        """Take note of one step, by the idempotency key of its delivery."""
        before = BEFORE[name]
        # A delivery's key is the id of its event and the name of its subscriber.
        event_id = key.removesuffix(f":{name}")
        if before is not None and f"{event_id}:{before}" not in self.taken[before]:
            self.early[name] += 1
        self.taken[name][key] += 1

    def _received(self, name: SubscriberName, received: JournalEntry) -> None:
        if received.accepted and received.key is not None:
            self.take(name, received.key)

    def _changed(self, operations: Sequence[RecordOperation]) -> None:
        for operation in operations:
            if (key := operation.after.get(KEY_FIELD)) is not None:
                self.take(WRITE_BACK, key)
