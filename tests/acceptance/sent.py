"""Events that an org has sent, read from the bytes of its bus and not with the daemon's code."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from streamer.sandbox import Sandbox
from tests.configuration import CHANGES, ORDER_KEY, ORDERS

_UNREADABLE = b'{"schema":"unreadable"'


@dataclass(frozen=True, slots=True)
class Seen:
    """One event: what is ordered together, and its id."""

    key: str
    id: str


def sent_by(sandbox: Sandbox) -> list[Seen]:
    """Return every event on both channels that can be read; each channel's are in its order."""
    return [*_changes(sandbox), *_orders(sandbox)]


def by_key(events: Iterable[Seen]) -> dict[str, list[str]]:
    """Return the ids of each key in their order."""
    ordered: dict[str, list[str]] = defaultdict(list)
    for event in events:
        ordered[event.key].append(event.id)
    return ordered


def _changes(sandbox: Sandbox) -> Iterator[Seen]:
    for data in _readable(sandbox, CHANGES):
        header = data["payload"]["ChangeEventHeader"]
        transaction = f"{header['transactionKey']}:{header['sequenceNumber']}"
        for record_id in header["recordIds"]:
            yield Seen(record_id, f"{transaction}:{record_id}")


def _orders(sandbox: Sandbox) -> Iterator[Seen]:
    for data in _readable(sandbox, ORDERS):
        yield Seen(data["payload"][ORDER_KEY], data["event"]["EventUuid"])


def _readable(sandbox: Sandbox, path: str) -> Iterator[Any]:
    for message in sandbox.bus.after(path, 0):
        # Some faults publish garbage, of a schema that does not exist.
        if not message.data.startswith(_UNREADABLE):
            yield orjson.loads(message.data)
