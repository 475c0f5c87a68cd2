"""Outbound messages are sent when records change, and repeated as Salesforce repeats them."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientSession, web

from streamer.clock import TurnedClock
from streamer.sandbox import OutboundLimits, OutboundMessage, Sandbox, SandboxSettings, parse_schema
from streamer.sandbox.org.refusals import Refused
from tests.waiting import until

_ACK = b"<notificationsResponse><Ack>true</Ack></notificationsResponse>"


@dataclass
class Server:
    """A server that keeps the envelopes, and answers as a test says."""

    url: str = ""
    answer: Callable[[], web.Response] = lambda: web.Response(body=_ACK)
    envelopes: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """Keep one envelope."""
        self.envelopes.append(await request.text())
        return self.answer()

    def ids(self, tag: str = "sf:LastName") -> list[list[str]]:
        """Return what each envelope has in the elements `tag`."""
        return [re.findall(f"<{tag}>([^<]*)</{tag}>", each) for each in self.envelopes]


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """Serve inside the context."""
    server = Server()
    app = web.Application()
    app.router.add_post("/take", server.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://localhost:{runner.addresses[0][1]}/take"
    try:
        yield server
    finally:
        await runner.cleanup()


@dataclass
class World:
    """A sandbox whose leads are sent to a server."""

    sandbox: Sandbox
    server: Server
    clock: TurnedClock

    def create(self, *names: str) -> list[str]:
        """Create a lead of each name, in a transaction of its own."""
        return [self._created(name) for name in names]

    def _created(self, name: str) -> str:
        with self.sandbox.org.transaction() as transaction:
            return transaction.create("Lead", {"LastName": name, "Company": "Acme"})

    async def sent(self, count: int) -> None:
        """Wait until the server has had so many envelopes, and the sender their answers."""
        queue = self.sandbox.outbound.queues["leads"]

        async def are_sent() -> bool:
            return len(self.server.envelopes) >= count and all(
                each.due_at > self.clock.monotonic() for each in queue.waiting
            )

        await until(are_sent)


@asynccontextmanager
async def world(**more: Any) -> AsyncIterator[World]:
    """Send leads with their last names, and what `more` says."""
    clock = TurnedClock()
    limits = OutboundLimits(notifications=more.pop("notifications", 100))
    async with serving() as server, Sandbox(clock, settings=SandboxSettings(outbound=limits)) as sandbox:
        wanted = {"object": "Lead", "fields": ("LastName", "Phone"), "url": server.url, **more}
        sandbox.outbound.define("leads", OutboundMessage(**wanted))
        yield World(sandbox, server, clock)


async def test_created_and_updated_records_are_sent_with_their_fields() -> None:
    """A field without a value is nil, and the org's id is in the envelope; a deletion is not sent."""
    async with world() as here:
        (lead,) = here.create("Blau & Co")
        await here.sent(1)
        with here.sandbox.org.transaction() as transaction:
            transaction.update("Lead", lead, {"Phone": "1 < 2"})
        await here.sent(2)
        with here.sandbox.org.transaction() as transaction:
            transaction.delete("Lead", lead)
        await here.clock.turn(3600)

    first, second = here.server.envelopes
    assert f"<OrganizationId>{here.sandbox.org.settings.org_id}</OrganizationId>" in first
    assert f"<sf:Id>{lead}</sf:Id>" in first
    assert "<sf:LastName>Blau &amp; Co</sf:LastName>" in first
    assert '<sf:Phone xsi:nil="true"/>' in first
    assert '<SessionId xsi:nil="true"/>' in first
    assert "<sf:Phone>1 &lt; 2</sf:Phone>" in second
    assert here.sandbox.outbound.queues["leads"].acknowledged == 2


async def test_envelope_holds_a_hundred_at_most_in_order() -> None:
    """Those of one transaction are queued together."""
    async with world(notifications=3) as here:
        with here.sandbox.org.transaction() as transaction:
            for number in range(7):
                transaction.create("Lead", {"LastName": str(number), "Company": "Acme"})
        await here.sent(3)

    assert here.server.ids() == [["0", "1", "2"], ["3", "4", "5"], ["6"]]


async def test_what_is_not_acknowledged_is_sent_again_at_growing_intervals() -> None:
    """From 15 s to two hours, with the latest values, beside later ones, and dropped after a day."""
    async with world() as here:
        here.server.answer = lambda: web.Response(body=b"<Ack>false</Ack>")
        (lead,) = here.create("first")
        await here.sent(1)
        with here.sandbox.org.transaction() as transaction:
            transaction.update("Lead", lead, {"LastName": "second"})
        await here.sent(2)
        for count in range(3, 30):
            waiting = here.sandbox.outbound.queues["leads"].waiting
            if not waiting:
                break
            await here.clock.turn(min(each.due_at for each in waiting) - here.clock.monotonic())
            if here.sandbox.outbound.queues["leads"].waiting:
                await here.sent(count)
        queue = here.sandbox.outbound.queues["leads"]

    assert here.server.ids()[:3] == [["first"], ["second"], ["second", "second"]]
    assert (queue.dropped, queue.acknowledged, queue.waiting) == (2, 0, [])
    assert 15 < len(here.server.envelopes) < 25


async def test_faults_strike_the_next_envelope() -> None:
    """A lost answer, another org's id, half an envelope and two at once."""
    async with world() as here:
        for name in ("lose_outbound_answer", "wrong_outbound_org", "garble_outbound", "repeat_outbound"):
            here.sandbox.faults.arm(name, {"message": "leads"})
            here.create(name)
            await here.sent(len(here.server.envelopes) + 1)
        queue = here.sandbox.outbound.queues["leads"]

        assert here.server.ids("OrganizationId")[1] != here.server.ids("OrganizationId")[0]
        assert "</soapenv:Envelope>" not in here.server.envelopes[2]
        assert here.server.envelopes[3] == here.server.envelopes[4]
        assert [each.attempts for each in queue.waiting] == [1]
        assert sum(here.sandbox.faults.struck.values()) == 4


async def test_server_that_is_away_is_tried_again() -> None:
    """A refused connection does not count as an answer."""
    async with world(url="http://localhost:1/take") as here:
        here.create("away")
        queue = here.sandbox.outbound.queues["leads"]

        async def is_tried() -> bool:
            return bool(queue.waiting and queue.waiting[0].attempts)

        await until(is_tried)
        here.sandbox.outbound.define(
            "leads", OutboundMessage(object="Lead", fields=("LastName",), url=here.server.url)
        )
        await here.clock.turn(15)
        await here.sent(1)

    assert here.server.ids() == [["away"]]


async def test_session_is_sent_where_it_is_asked_for() -> None:
    """It opens the org."""
    async with world(send_session=True) as here:
        here.create("x")
        await here.sent(1)
        (token,) = re.findall("<SessionId>(.+)</SessionId>", here.server.envelopes[0])
        assert here.sandbox.tokens.valid(f"Bearer {token}")


async def test_field_that_the_schema_does_not_have_is_refused() -> None:
    """A misspelt one would be nil for ever."""
    schema = parse_schema({"objects": {"Invoice__c": {"fields": {"Number__c": "string"}}}})
    async with Sandbox(TurnedClock()) as sandbox:
        sandbox.org.declare(schema)
        message = OutboundMessage(object="Invoice__c", fields=("Nmber__c",), url="http://localhost:1")
        with pytest.raises(Refused):
            sandbox.outbound.define("invoices", message)


async def test_control_api_defines_shows_and_removes_messages() -> None:
    """As any test outside of Python does it."""
    async with serving() as server, Sandbox(TurnedClock()) as sandbox, ClientSession() as http:
        body = {"object": "Lead", "fields": ["LastName"], "url": server.url}
        async with http.put(f"{sandbox.url}/sandbox/outbound/leads", json=body) as answer:
            assert answer.status == 200
        async with http.get(f"{sandbox.url}/sandbox/outbound") as answer:
            shown = await answer.json()
        async with http.put(f"{sandbox.url}/sandbox/outbound/x", json={"object": "Lead"}) as answer:
            assert answer.status == 400
        async with http.delete(f"{sandbox.url}/sandbox/outbound/leads") as answer:
            assert answer.status == 204
        async with http.delete(f"{sandbox.url}/sandbox/outbound/leads") as answer:
            assert answer.status == 404

    assert (shown["leads"]["url"], shown["leads"]["waiting"]) == (server.url, 0)
