"""Histories with holes, as clients of both transports meet them."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from streamer.sandbox import OrgSetup, SandboxSettings, UsageLimits
from tests.integration.sandbox.pubsub.client import CUSTOM, EARLIEST, LATEST, Failure
from tests.integration.sandbox.pubsub.conftest import Serve, World, metadata
from tests.unit.sandbox.cometd.conftest import Client as BayeuxClient

ACCOUNTS = "/data/AccountChangeEvent"
HOUR_S = 3600
DAY_S = 24 * HOUR_S
INVALID = "400::The replayId {%d} you provided was invalid.  Please provide a valid ID, "
CORRUPTED = "subscription.fetch.replayid.corrupted"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A session with a cookie jar of its own."""
    async with aiohttp.ClientSession() as session:
        yield session


def bayeux(world: World, http: aiohttp.ClientSession) -> BayeuxClient:
    """Return a CometD client, with a new session that the other client shares."""
    client = BayeuxClient(http, f"{world.sandbox.url}/cometd/66.0")
    # The sessions so far have ended where the clock has turned since their last use.
    world.client.metadata = metadata(world.sandbox)
    client.token = dict(world.client.metadata)["accesstoken"]
    return client


def code(end: Failure | None) -> str | None:
    """Return the code of an end."""
    return end.code if end else None


def header(event: dict[str, Any]) -> tuple[str, list[str], list[str]]:
    """Return the type, the records and the changed fields in an event's header, which is all it has."""
    filled = {name for name, value in event.items() if value is not None}
    assert filled == {"ChangeEventHeader"}
    found = event["ChangeEventHeader"]
    return found["changeType"], found["recordIds"], found["changedFields"]


async def refused(world: World, cometd: BayeuxClient, replay_id: int) -> None:
    """See both transports refuse a replay id."""
    await cometd.open_again()
    assert (await cometd.subscribe(ACCOUNTS, replay_id))["error"].startswith(INVALID % replay_id)
    given = replay_id.to_bytes(8, "big")
    assert code(await (await world.client.subscribe(ACCOUNTS, 1, CUSTOM, given)).end()) == CORRUPTED


async def accepted(world: World, cometd: BayeuxClient, replay_id: int, *, behind: int) -> None:
    """See both transports resume behind a replay id, with that many events."""
    await cometd.open_again()
    assert (await cometd.subscribe(ACCOUNTS, replay_id))["successful"]
    assert len(await cometd.replay_ids()) == behind
    resumed = await world.client.subscribe(ACCOUNTS, 100, CUSTOM, replay_id.to_bytes(8, "big"))
    assert len(await resumed.events(behind)) == behind


async def test_a_replay_id_expires_after_three_days(world: World, http: aiohttp.ClientSession) -> None:
    """It is refused, and the events up to it are gone, once the clock has turned so far."""
    world.create_accounts(1)
    replay_id = world.sandbox.bus.newest_replay_id(ACCOUNTS) or 0
    world.clock.jump(71 * HOUR_S)
    world.create_accounts(2, first=1)
    await accepted(world, bayeux(world, http), replay_id, behind=2)
    world.clock.jump(HOUR_S + 1)
    await refused(world, bayeux(world, http), replay_id)
    events = await (await world.client.subscribe(ACCOUNTS, 100, EARLIEST)).events(2)
    assert [(await world.client.decoded(event))["Name"] for event in events] == ["1", "2"]


async def test_a_late_purge_still_replays(serve: Serve, http: aiohttp.ClientSession) -> None:
    """Until it has run."""
    world = await serve(SandboxSettings(purge_late_s=6 * HOUR_S))
    world.create_accounts(2)
    first = world.sandbox.bus.after(ACCOUNTS, 0)[0].replay_id
    world.clock.jump(78 * HOUR_S - 1)
    await accepted(world, bayeux(world, http), first, behind=1)
    world.clock.jump(2)
    await refused(world, bayeux(world, http), first)


@pytest.mark.parametrize(("fault", "parameters"), [("reset_stream", {}), ("expire_events", {})])
async def test_ids_are_invalid_on_demand(
    world: World, http: aiohttp.ClientSession, fault: str, parameters: dict[str, Any]
) -> None:
    """A reset stream and an expired one can't be told apart; new events come as ever."""
    world.create_accounts(2)
    replay_id = world.sandbox.bus.newest_replay_id(ACCOUNTS) or 0
    world.sandbox.faults.arm(fault, parameters)
    await refused(world, bayeux(world, http), replay_id)
    latest = await world.client.subscribe(ACCOUNTS, 100, EARLIEST)
    world.create_accounts(1, first=7)
    [event] = await latest.events(1)
    assert (await world.client.decoded(event))["Name"] == "7"


async def test_a_refreshed_org_says_who_it_is(world: World, http: aiohttp.ClientSession) -> None:
    """Sessions end on both transports; new ones, and the identity, name the new org, and no id is valid."""
    world.create_accounts(1)
    replay_id = world.sandbox.bus.newest_replay_id(ACCOUNTS) or 0
    cometd = bayeux(world, http)
    await cometd.open(ACCOUNTS)
    stream = await world.client.subscribe(ACCOUNTS, 100, LATEST)
    former = world.client.metadata
    new_id = world.sandbox.refresh_org()
    assert code(await stream.end()) == "service.auth.error"
    assert (await cometd.connect())[0]["error"] == "401::Authentication invalid"
    await refused(world, bayeux(world, http), replay_id)
    stale = {**dict(world.client.metadata), "tenantid": dict(former)["tenantid"]}
    assert (await world.client.topic(ACCOUNTS)).tenant_guid == new_id
    world.client.metadata = tuple(stale.items())
    assert code(await (await world.client.subscribe(ACCOUNTS)).end()) == "service.auth.error"

    form = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox-secret"}
    async with http.post(f"{world.sandbox.url}/services/oauth2/token", data=form) as response:
        opened = await response.json()
    assert opened["access_token"].startswith(f"{new_id[:15]}!")
    headers = {"Authorization": f"Bearer {opened['access_token']}"}
    async with http.get(opened["id"], headers=headers) as response:
        assert (await response.json())["organization_id"] == new_id


async def test_events_without_a_body_reach_both_transports(serve: Serve, http: aiohttp.ClientSession) -> None:
    """A gap, an overflow and the conversion of a field are headers alone."""
    world = await serve(SandboxSettings(org=OrgSetup(transaction_limit=2)))
    cometd = bayeux(world, http)
    account = world.create("Account", Name="Acme", Score__c="high")
    await cometd.open(ACCOUNTS)
    stream = await world.client.subscribe(ACCOUNTS, 100, EARLIEST)
    await stream.events(1)
    world.sandbox.faults.gap_changes("Account", on=["update"])
    world.update("Account", account, Phone="1")
    with world.sandbox.org.transaction() as transaction:
        for name in ("Aas", "Berg"):
            transaction.create("Contact", {"LastName": name})
        transaction.delete("Account", account)
    world.sandbox.org.convert_field("Account", "Score__c", "double")
    expected: list[tuple[str, list[str], list[str]]] = [
        ("GAP_UPDATE", [account], []),
        ("GAP_OVERFLOW", ["000000000000000AAA"], []),
        ("UPDATE", ["001*"], []),
    ]
    received = [message["data"]["payload"] for message in await cometd.connect() if "data" in message]
    assert [header(payload) for payload in received] == expected
    decoded = [await world.client.decoded(event) for event in await stream.events(3)]
    assert [header(payload) for payload in decoded] == expected


async def test_used_up_events_are_refused_until_usage_falls(
    serve: Serve, http: aiohttp.ClientSession
) -> None:
    """The clients of both transports use one allowance, and both resume behind what they got."""
    world = await serve(SandboxSettings(org=OrgSetup(usage=UsageLimits(delivered_events=5))))
    cometd = bayeux(world, http)
    await cometd.open(ACCOUNTS)
    world.create_accounts(2)
    assert len(await cometd.replay_ids()) == 2
    world.clock.jump(HOUR_S)
    world.create_accounts(2, first=2)
    stream = await world.client.subscribe(ACCOUNTS, 100, EARLIEST)
    *_, event = await stream.events(3)
    assert code(await stream.end()) == "subscription.limit.exceeded"
    await cometd.handshake()
    assert "daily limit exceeded" in (await cometd.connect())[0]["error"]
    # Another subscription is refused too, although it is due no event.
    latest = await world.client.subscribe(ACCOUNTS, 100, LATEST)
    assert code(await latest.end()) == "subscription.limit.exceeded"

    # Two of the five are a day old now, and the later three are not.
    world.clock.jump(DAY_S - HOUR_S)
    world.client.metadata = metadata(world.sandbox)
    resumed = await world.client.subscribe(ACCOUNTS, 100, CUSTOM, event.replay_id)
    [last] = await resumed.events(1)
    assert (await world.client.decoded(last))["Name"] == "3"
    assert world.sandbox.org.usage.delivered_events.used == 4
