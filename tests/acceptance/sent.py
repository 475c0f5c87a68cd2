"""What an org has sent, told from the bytes on its bus without the daemon's normalisers."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import orjson

from streamer.sandbox import Sandbox
from tests.configuration import CHANGES, ORDER_KEY, ORDERS


@dataclass(frozen=True, slots=True)
class Seen:
    """One event: what is ordered together, and its id."""

    key: str
    id: str


def sent_by(sandbox: Sandbox) -> list[Seen]:
    """Return every event on both channels; each channel's are in its order."""
    return [*_changes(sandbox), *_orders(sandbox)]


def by_key(events: Iterable[Seen]) -> dict[str, list[str]]:
    """Return the ids of each key in their order."""
    ordered: dict[str, list[str]] = defaultdict(list)
    for event in events:
        ordered[event.key].append(event.id)
    return ordered


def _changes(sandbox: Sandbox) -> Iterator[Seen]:
    for message in sandbox.bus.after(CHANGES, 0):
        header = orjson.loads(message.data)["payload"]["ChangeEventHeader"]
        transaction = f"{header['transactionKey']}:{header['sequenceNumber']}"
        for record_id in header["recordIds"]:
            yield Seen(record_id, f"{transaction}:{record_id}")


def _orders(sandbox: Sandbox) -> Iterator[Seen]:
    for message in sandbox.bus.after(ORDERS, 0):
        data = orjson.loads(message.data)
        yield Seen(data["payload"][ORDER_KEY], data["event"]["EventUuid"])
