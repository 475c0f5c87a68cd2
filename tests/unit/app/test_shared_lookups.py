"""Subscribers share the look-ups of an org and of each service, and one set of metrics covers all."""

import asyncio
from typing import Any, Self

import pytest

from streamer.app.enriching import SharedLookups
from streamer.clock import Clock, TurnedClock
from streamer.dispatch.delivery.enrichment import EnrichmentSource
from streamer.dispatch.lookups.cache import FieldNames
from streamer.dispatch.lookups.records import RecordLookups
from streamer.errors import RecordsRefused, RetryLater, ServiceUnavailable
from streamer.events import Event, JsonObject
from streamer.ports import Preview, ServiceSource
from streamer.salesforce.auth.flows import Logins
from streamer.salesforce.memory import MemoryRecords
from streamer.settings import LookupsSettings, OrgSettings
from tests.contracts.values import an_event
from tests.unit.dispatch.lookups.world import Counted, a_lookup

ORG = OrgSettings.model_validate(
    {
        "login_url": "https://acme.my.salesforce.com",
        "auth": {"flow": "client_credentials", "client_id": "app", "client_secret": "sesame"},
    }
)
ACCOUNT = "001000000000001AAA"
NAME = FieldNames.of("name")


class MemoryService(MemoryRecords):
    """Service of customers, asked for one at a time."""

    batch = 1
    max_in_flight = 2

    def __init__(self) -> None:
        """Know one customer."""
        super().__init__({"": {"47": {"name": "Acme"}, "a": {"name": "Text"}}})
        self.is_open = False

    async def __aenter__(self) -> Self:
        self.is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_open = False

    def preview(self, record_id: str, /) -> Preview:
        """Return a request of no protocol."""
        return Preview(request=f"GET {record_id}")


class Desk:
    """Look-ups of one process, and two services."""

    def __init__(self) -> None:
        self.clock, self.seen = TurnedClock(), Counted()
        self.shared = SharedLookups(Logins(self.clock), self.clock, LookupsSettings(), self.seen)
        self.services = {key: MemoryService() for key in ("crm", "erp")}

    def source(self, key: str) -> ServiceSource:
        """Return the source of a service."""

        def make(_clock: Clock) -> MemoryService:
            return self.services[key]

        return ServiceSource(key=key, make=make)

    async def names(self, event: Event, **lookups: str) -> JsonObject:
        """Return what a subscriber with these look-ups, by their services, sees of an event."""
        found = tuple(
            a_lookup(name, {"id": "data.no", "fields": ["name"], "http": {}}, self.source(key))
            for name, key in lookups.items()
        )
        enrichment = self.shared.enrichment(EnrichmentSource(lookups=found), ORG)
        async with enrichment.opened():
            return await enrichment.names(event, list)

    async def account(self) -> JsonObject:
        """Return what a subscriber sees of an event whose account it looks up in the states."""
        lookup = a_lookup("account", {"id": "data.account", "fields": ["Name"], "state": "Account"}, None)
        enrichment = self.shared.enrichment(EnrichmentSource(lookups=(lookup,)), ORG)
        async with enrichment.opened():
            asked = asyncio.create_task(enrichment.names(an_event("1", data={"account": ACCOUNT}), list))
            await self.clock.turn(0)
            return await asked


def numbered(number: Any) -> Event:
    """Return an event with the number of a customer."""
    return an_event("1", data={"no": number})


async def test_records_of_services_are_seen_beside_the_event() -> None:
    """Each service is opened for them, and closed behind the last."""
    desk = Desk()
    found = await desk.names(numbered(47), customer="crm", debtor="erp")
    assert found == {
        "customer": {"name": "Acme"},
        "debtor": {"name": "Acme"},
        "lookups": {"customer": "found", "debtor": "found"},
    }
    assert [each.requests for each in desk.services.values()] == [[("", ["47"], ["name"])]] * 2
    assert not any(each.is_open for each in desk.services.values())


@pytest.mark.parametrize(("number", "state"), [("48", "missing"), (None, "empty"), ("", "empty")])
async def test_state_of_a_services_record_is_told(number: Any, state: str) -> None:
    """As of a record of the org."""
    found = await Desk().names(numbered(number), customer="crm")
    assert found == {"customer": None, "lookups": {"customer": state}}


async def test_one_cache_serves_all_and_metrics_tell_of_all() -> None:
    """Two services that wait or not are one gauge; a service that is closed counts no more."""
    desk = Desk()
    async with desk.shared.opened(desk.source("crm")) as crm:
        await crm.find("", "47", NAME)
        async with (
            desk.shared.opened(desk.source("crm")) as again,
            desk.shared.opened(desk.source("erp")) as erp,
        ):
            assert again is crm
            await erp.find("", "47", NAME)
            await erp.find("", "a", NAME)
            assert desk.seen.entries == 3
            await _fails(desk, "erp", erp)
            assert desk.seen.waits
            assert await crm.find("", "a", NAME) == {"name": "Text"}
            assert (desk.seen.waits, desk.seen.entries) == (True, 4)
        assert (desk.seen.waits, desk.seen.entries) == (False, 2)


async def _fails(desk: Desk, key: str, lookups: RecordLookups) -> None:
    desk.services[key].error = ServiceUnavailable("away", after_s=60)
    with pytest.raises(ServiceUnavailable):
        await lookups.find("", "1", NAME)


async def test_state_is_read_anew_for_each_event() -> None:
    """A cache could hold a state that the log has changed since."""
    desk = Desk()
    states = MemoryRecords({"Account": {ACCOUNT: {"Name": "Acme"}}})
    desk.shared.states = states

    assert await desk.account() == {"account": {"Name": "Acme"}, "lookups": {"account": "found"}}
    states.records["Account"][ACCOUNT] = {"Name": "Bolt"}
    assert await desk.account() == {"account": {"Name": "Bolt"}, "lookups": {"account": "found"}}


async def test_process_that_keeps_no_states_asks_for_a_restart() -> None:
    """Its configuration was loaded again with the first object of state.objects."""
    with pytest.raises(RetryLater, match=r"keeps no states of Account: restart it"):
        await Desk().account()


async def test_refused_record_of_a_service_is_refused_to_its_events() -> None:
    """Its words are kept."""
    desk = Desk()
    desk.services["crm"].error = RecordsRefused("HTTP 422", code="")
    with pytest.raises(RecordsRefused, match="HTTP 422"):
        await desk.names(numbered(47), customer="crm")
