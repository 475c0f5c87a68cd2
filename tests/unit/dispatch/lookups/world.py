"""Look-ups of a scripted org, on a clock that a test turns."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from streamer.app.routes import compiled_lookups
from streamer.clock import Clock, TurnedClock
from streamer.dispatch.delivery.enrichment import Enrichment, EnrichmentSource, Lookup
from streamer.dispatch.lookups.cache import FieldNames
from streamer.dispatch.lookups.records import LookupLimits, RecordLookups
from streamer.events import Event, JsonObject
from streamer.expressions.functions import Functions
from streamer.ports import ServiceSource
from streamer.salesforce.memory import MemoryRecords
from streamer.settings import LookupSettings
from tests.contracts.values import an_event
from tests.unit.dispatch.world import mistaken


def account_id(number: int) -> str:
    """Return the id of an account."""
    return f"001{number:012d}AAA"


def a_change(number: int, record_id: str = account_id(1), entity: str = "Account") -> Event:
    """Return the event `number` of a record."""
    data = {"record_id": record_id, "entity": entity, "fields": {}}
    return an_event(f"change {number}", key=record_id, data=data)


def a_lookup(name: str, written: Mapping[str, Any], service: ServiceSource | None) -> Lookup:
    """Return the look-up that `written` asks for, of a record of `service` if it is given."""
    settings = {name: LookupSettings.model_validate(written)}
    [compiled] = compiled_lookups(settings, mistaken, Functions(), ("receipts", "lookups", name))
    return replace(compiled, service=service)


def an_enrichment(lookups: RecordLookups, enrich: Mapping[str, Any], clock: Clock) -> Enrichment:
    """Return the enrichment that a subscriber's `enrich` asks for."""
    settings = {name: LookupSettings.model_validate(each) for name, each in enrich.items()}
    compiled = tuple(compiled_lookups(settings, mistaken, Functions(), ("receipts", "lookups", *enrich)))

    @asynccontextmanager
    async def opened(source: EnrichmentSource) -> AsyncIterator[Mapping[str, RecordLookups]]:
        async with lookups.running():
            yield {each.name: lookups for each in source.lookups}

    return Enrichment(source=EnrichmentSource(lookups=compiled), open=opened, clock=clock)


class HeldRecords(MemoryRecords):
    """Reader that holds its answers back while it is not `open`."""

    def __init__(self, accounts: int = 5) -> None:
        """Hold that many accounts, and answer at once."""
        names = {account_id(number): {"Name": f"No {number}", "Phone": None} for number in range(accounts)}
        super().__init__({"Account": names})
        self.open = asyncio.Event()
        self.open.set()

    async def read(self, entity: str, ids: Sequence[str], fields: Sequence[str], /) -> dict[str, JsonObject]:
        """Read at once, and answer when it is open."""
        found = await super().read(entity, ids, fields)
        await self.open.wait()
        return found


@dataclass
class Counted:
    """Observer that counts."""

    results: Counter[str] = field(default_factory=Counter)
    calls: list[tuple[int, str]] = field(default_factory=list)
    waits: bool = False
    entries: int = 0

    def looked_up(self, result: str) -> None:
        """Count."""
        self.results[result] += 1

    def asked(self, records: int, seconds: float, result: str) -> None:  # noqa: ARG002 - it takes no time here
        """Note the size and the result."""
        self.calls.append((records, result))

    def held(self, *, entries: int, size: int, waits: bool) -> None:  # noqa: ARG002 - the cache's own tests measure it
        """Note the state."""
        self.entries, self.waits = entries, waits


@dataclass(kw_only=True)
class World:
    """Look-ups of five accounts."""

    limits: LookupLimits = field(default_factory=LookupLimits)
    clock: TurnedClock = field(default_factory=TurnedClock)
    records: HeldRecords = field(default_factory=HeldRecords)
    seen: Counted = field(default_factory=Counted)
    lookups: RecordLookups = field(init=False)

    def __post_init__(self) -> None:
        self.lookups = RecordLookups(self.records, self.clock, self.limits, self.seen)

    def look_up(
        self, record_id: str = account_id(1), *fields: str, sobject: str = "Account"
    ) -> "asyncio.Task[JsonObject | None]":
        """Begin to look up fields of an account, its name by default."""
        return asyncio.ensure_future(
            self.lookups.find(sobject, record_id, FieldNames.of(*fields or ("Name",)))
        )

    async def found(self, record_id: str = account_id(1), *fields: str) -> JsonObject | None:
        """Return what a look-up finds when its call has been sent."""
        looking_up = self.look_up(record_id, *fields)
        await self.clock.turn(self.limits.collect_s)
        return await looking_up
