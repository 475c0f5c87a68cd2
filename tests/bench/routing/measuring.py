"""The measurements of routing: in one process, and in a daemon between a broker, an org and a target."""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from tests.bench.deliveries.filled_log import FilledLog, dispatching, streamer
from tests.bench.deliveries.measuring import DeliveryBench
from tests.bench.ingest.org import Org
from tests.bench.routing.deals import a_deal
from tests.bench.routing.in_process import routed
from tests.bench.routing.results import Enriched, Routing

_KEYS = 1_000
_DEALS_OF_AN_ACCOUNT = 20

_INVOICE = {
    "uses": "fulfillment",
    "on": "salesforce.cdc.Opportunity.*",
    "start": "earliest",
    "when": "data.fields.StageName == 'Closed Won' && contains(data.changed_fields, 'StageName')",
    "enrich": {
        "account": {"sobject": "Account", "id": "data.fields.AccountId", "fields": ["Name", "ERP_Id__c"]}
    },
    "body": {
        "customer": "account.ERP_Id__c",
        "name": "account.Name",
        "amount": "data.fields.Amount",
        "currency": "data.fields.CurrencyIsoCode || 'EUR'",
        "closed": "data.fields.CloseDate",
        "reference": "format('{}/{}', data.fields.Order_Number__c, subject)",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingBench:
    """Measures `rounds` times in turn, with the broker and the target of `deliveries`.

    With `compares`, the same events are delivered as they are, too.
    """

    deliveries: DeliveryBench
    org: Org
    compares: bool = True

    async def routing(self, events: int, progress: Callable[[int], object]) -> Routing:
        """Route so many events here, and deliver so many with records of the org, and as they are."""
        rounds = range(self.deliveries.rounds)
        accounts = await self._accounts(max(1, events // _DEALS_OF_AN_ACCOUNT))
        log = FilledLog(
            kafka=self.deliveries.kafka,
            name=f"route{uuid.uuid4().hex[:8]}",
            keys=_KEYS,
            event=partial(a_deal, accounts),
        )
        async with log.open() as opened:
            await log.fill(opened, events)
        found, enriched, plain = [], [], []
        for _ in rounds:
            found.append(await routed(events))
            progress(events)
            daemon = _EnrichingDaemon(self.org.url)
            rate, _request = await self.deliveries.rate(daemon.deliver, log, events, progress)
            enriched.append(Enriched(rate=rate, cached=daemon.cached))
            if self.compares:
                rate, _request = await self.deliveries.rate(streamer, log, events, progress)
                plain.append(rate)
        return Routing(routed=found, enriched=enriched, plain=plain)

    async def _accounts(self, count: int) -> list[str]:
        """Make so many accounts in the org, and return their ids."""
        return await self.org.create(
            "Account", [{"Name": f"Acme {number}", "ERP_Id__c": f"C-{number}"} for number in range(count)]
        )


@dataclass(slots=True)
class _EnrichingDaemon:
    """Delivers with records of the org at `org_url`; `cached` is the share of look-ups without a call."""

    org_url: str
    cached: float = field(default=0.0, init=False)

    @asynccontextmanager
    async def deliver(self, log: FilledLog, url: str) -> AsyncIterator[int]:
        """Deliver `log` to `url`, and stop in good order; gives the id of the process."""
        invoice = {**_INVOICE, "settings": {"url": url, "order": "id"}}
        async with dispatching(log, {"target": invoice}, org_url=self.org_url) as process:
            yield process.pid
            await process.started()
            cached = await process.metric("streamer_lookups_total", result="cached")
            self.cached = cached / await process.metric("streamer_lookups_total")
            assert await process.stop() == 0, process.output
