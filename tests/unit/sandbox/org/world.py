"""An org with its clock, its bus and its published messages."""

from typing import Any

import orjson

from streamer.clock import TurnedClock
from streamer.sandbox.org.bus import EventBus
from streamer.sandbox.org.org import OrgSetup, SandboxOrg
from streamer.sandbox.soql.answers import Setting
from streamer.sandbox.soql.columns import Scope
from streamer.sandbox.soql.evaluator import QueryRun
from streamer.sandbox.soql.parser import parse

EVERYTHING = "/data/ChangeEvents"


class OrgWorld:
    """One org on a clock that stands still."""

    def __init__(self, settings: OrgSetup | None = None) -> None:
        """Start an empty org."""
        self.clock = TurnedClock()
        self.bus = EventBus(self.clock)
        self.org = SandboxOrg(self.clock, self.bus, settings)

    def create(self, type_name: str, **fields: Any) -> str:
        """Create a record in a transaction of its own."""
        with self.org.transaction() as transaction:
            return transaction.create(type_name, fields)

    def update(self, type_name: str, record_id: str, **fields: Any) -> None:
        """Update a record in a transaction of its own."""
        with self.org.transaction() as transaction:
            transaction.update(type_name, record_id, fields)

    def query(self, text: str, *, include_deleted: bool = False) -> QueryRun:
        """Return the run of a query by a user who can read everything."""
        scope = Scope(schema=self.org.schema, records=self.org.records)
        setting = Setting(scope=scope, now=self.clock.now(), include_deleted=include_deleted)
        return QueryRun(setting, parse(text))

    def messages(self, path: str = EVERYTHING) -> list[dict[str, Any]]:
        """Return the data of every message of a channel."""
        return [orjson.loads(message.data) for message in self.bus.after(path, 0)]

    def payloads(self, path: str = EVERYTHING) -> list[dict[str, Any]]:
        """Return the payloads of a channel."""
        return [message["payload"] for message in self.messages(path)]

    def headers(self, path: str = EVERYTHING) -> list[dict[str, Any]]:
        """Return the change event headers of a channel."""
        return [payload["ChangeEventHeader"] for payload in self.payloads(path)]
