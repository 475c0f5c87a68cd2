"""A daemon whose subscribers, channels and configuration each have a fault of their own at the same time.

The faults are mended as docs/alerts.md says.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import FulfillmentReceiver
from tests.configuration import CHANGES, ORDER_KEY, ORDERS, sandbox_configuration
from tests.integration.monitoring import plugins
from tests.integration.monitoring.observed import Observed
from tests.integration.monitoring.stretching import Look, Phase

LOGINS = "/event/LoginEventStream"
ALERTS = frozenset(
    {
        "StreamerChannelDown",
        "StreamerConfigurationRefused",
        "StreamerCredentialsRefused",
        "StreamerDeliveriesBehind",
        "StreamerDeadLettersWaiting",
        "StreamerDeliveriesLate",
        "StreamerEventLoopBlocked",
        "StreamerEventsMissing",
        "StreamerEventsParked",
        "StreamerEventsSetAside",
        "StreamerLookupsWaiting",
        "StreamerMessagesUnreadable",
        "StreamerRestartNeeded",
        "StreamerSnapshotIncomplete",
        "StreamerStuck",
        "StreamerSubscriberHeld",
        "StreamerSubscriberNotStarted",
        "StreamerTargetDown",
    }
)

_ON_ORDERS = ("stocktaking", "refusing", "rejecting", "down", "failing")
_SLOW = "slow"
_ACCOUNTS = 1_100
_MANY = 1_000_000
_BUSY_NODE = 5
_SECRET = "a-secret-of-enough-letters"
_QUICK = {"first_delay_s": 0.05, "max_delay_s": 1.0, "fast_tries": 1}


@dataclass(slots=True, kw_only=True)
class World:
    """An org, its targets by their subscribers, and a daemon between them."""

    sandbox: Sandbox
    targets: Mapping[str, FulfillmentReceiver]
    observed: Observed
    flags: Path
    orders: int = field(default=0, init=False)

    def order(self, count: int, **fields: str) -> None:
        """Place so many orders, of a customer each."""
        for _ in range(count):
            self.orders += 1
            self.sandbox.org.publish_platform_event(
                "Order_Placed__e", {ORDER_KEY: f"O-{self.orders}", "Customer__c": self.customer, **fields}
            )

    def log_in(self) -> None:
        """Let a user log in."""
        self.sandbox.org.publish_platform_event("LoginEventStream", {"Status": "Success"})

    @property
    def customer(self) -> str:
        """The id of an account that no order has named before, so that its record is looked up."""
        with self.sandbox.org.transaction() as transaction:
            return transaction.create("Contact", {"LastName": "Doe"})

    async def control(self, method: str, path: str, body: Any = None) -> None:
        """Use the sandbox's own API."""
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, f"{self.sandbox.url}/sandbox/{path}", json=body) as answer,
        ):
            assert answer.status < 300, await answer.text()


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[World]:
    """Yield everything, with the daemon ready."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(clock))
        targets = {
            name: await stack.enter_async_context(FulfillmentReceiver(clock)) for name in (*_ON_ORDERS, _SLOW)
        }
        configuration = _configuration(sandbox.url, targets, folder)
        observed = Observed(folder, configuration, environ=plugins.installed(folder))
        world = World(
            sandbox=sandbox, targets=targets, observed=await stack.enter_async_context(observed), flags=folder
        )
        await observed.start()
        yield world


async def phases(world: World) -> list[Phase]:
    """Live through the time before the faults, that of the faults, and that after the mending."""
    await _work(world)
    before = await world.observed.looks()
    await _break(world)
    during = await _looks(world)
    await _mend(world)
    after = await world.observed.looks()
    return [
        Phase(name="before", began=before[0], ended=before[1], minutes=10),
        Phase(
            name="faults",
            began=during[0],
            ended=during[1],
            alerts=ALERTS,
            stands="streamer_oldest_undelivered",
        ),
        Phase(name="after", began=after[0], ended=after[1]),
    ]


async def _looks(world: World) -> tuple[Look, Look]:
    """Look twice, while the channels that can be read bring something."""
    first = await world.observed.look()
    world.order(1)
    await asyncio.sleep(1.5)
    return first, await world.observed.look()


async def _work(world: World) -> None:
    """Let every channel bring something, every subscriber deliver, and somebody knock at a wrong address."""
    [listening] = world.observed.daemon.logged("outbound.listening")
    async with aiohttp.ClientSession() as http:
        await http.post(f"http://localhost:{listening['port']}/outbound/nobody/{_SECRET}", data=b"<x/>")
    world.order(1)
    world.log_in()
    with world.sandbox.org.transaction() as transaction:
        transaction.create("Account", {"Name": "Acme"})

    def is_done(look: Look) -> bool:
        verified = (
            look.value("streamer_checkpoint_verified_timestamp_seconds", channel=each)
            for each in (CHANGES, ORDERS, LOGINS)
        )
        delivered = (
            look.value("streamer_deliveries_total", subscriber=each, outcome="delivered")
            for each in world.observed.configuration["subscribers"]
        )
        return all(verified) and all(delivered)

    await world.observed.shows(is_done)


async def _break(world: World) -> None:
    """Inject every fault, and wait until the metrics show it."""
    observed, targets = world.observed, world.targets
    await observed.call("subscribers", "pause", "stocktaking", "--reason", "stocktaking in the warehouse")
    refusal = {"code": "INSUFFICIENT_ACCESS", "on": ["read", "write"], "times": _MANY}
    await world.control("POST", "faults/refuse_call", refusal)
    # The command would learn of the refusal beforehand.
    await observed.ask("POST", "snapshots", {"entity": "Account", "by": "anna"})
    await observed.shows(lambda look: look.value("streamer_continuity_unrepaired_total", cause="snapshot"))

    targets["refusing"].faults.unauthorized = True
    targets["rejecting"].faults.fail_keys, targets["rejecting"].faults.fail_status = ".", 400
    targets["down"].faults.down = True
    targets["failing"].faults.fail_keys = "."
    targets[_SLOW].faults.slow_s = 0.5
    for plugin in ("blocks", "never-returns"):
        (world.flags / f"{plugin}.flag").touch()
    await world.control("DELETE", "faults/refuse_call")
    unavailable = {"status": 503, "code": "SERVER_UNAVAILABLE", "on": ["read", "write"], "times": _MANY}
    await world.control("POST", "faults/refuse_call", unavailable)
    await world.control("POST", "faults/unreadable", {"path": ORDERS})
    await world.control("POST", "gaps", {"type": "Account", "record_ids": ["001000000000001AAA"]})
    await world.control("POST", "changes", {"entity": "Account", "count": _ACCOUNTS, "records": _ACCOUNTS})
    world.order(15)
    await observed.shows(lambda look: not _not_broken(look), told=_not_broken)
    (world.flags / "blocks.flag").unlink()
    await world.control("POST", "faults/deny_subscription", {"path": LOGINS, "times": _MANY})
    await world.control("POST", "faults/forget_client", {})
    world.log_in()
    await _misconfigure(world)


_BROKEN: Sequence[tuple[str, Mapping[str, str]]] = (
    ("streamer_subscriber_held", {"subscriber": "stocktaking"}),
    ("streamer_failed_attempts_total", {"subscriber": "refusing", "error": "refused_credentials"}),
    ("streamer_dead_letters_total", {"subscriber": "rejecting"}),
    ("streamer_breaker_open", {"subscriber": "down"}),
    ("streamer_parked_events", {"subscriber": "failing"}),
    ("streamer_stuck", {"kind": "subscriber", "name": "sticking"}),
    ("streamer_lookups_waiting", {}),
    ("streamer_dead_letters_total", {"stage": "ingest"}),
    ("streamer_continuity_unrepaired_total", {"cause": "gap_event"}),
)


def _not_broken(look: Look) -> list[str]:
    """Return what does not show its fault yet."""
    late = [f"{name}{labels}" for name, labels in _BROKEN if not look.value(name, **labels)]
    if (look.value("streamer_event_loop_blocked_total", subscriber="blocking") or 0) <= _BUSY_NODE:
        late.append("loop")
    is_behind = (look.value("streamer_delivery_lag_events", subscriber=_SLOW) or 0) > _ACCOUNTS * 0.93
    return late if is_behind else [*late, "lag"]


async def _misconfigure(world: World) -> None:
    """Add a subscriber that can't be opened, change what waits for a restart, and then make a mistake."""
    observed = world.observed
    bad = world.flags / "authorities.pem"
    bad.write_text("no certificate")
    late = _subscriber(world.targets["down"].url) | {"start": "latest"}
    late["settings"] |= {"ca_file": str(bad)}
    observed.configuration["subscribers"]["late"] = late
    observed.configuration["observe"]["stuck_after_s"] = 60
    await observed.reconfigure()
    await observed.shows(
        lambda look: (
            look.value("streamer_configuration_restart_needed")
            and look.value("streamer_subscriber_following", subscriber="late") == 0
        )
    )
    await observed.reconfigure("org: {login_url: [}\n")
    await observed.shows(
        lambda look: (
            look.value("streamer_configuration_applied") == 0
            and look.value("streamer_channel_up", channel=LOGINS) == 0
        )
    )


async def _mend(world: World) -> None:
    """Follow the runbooks."""
    observed, targets = world.observed, world.targets
    for target in targets.values():
        target.faults.unauthorized = target.faults.down = False
        target.faults.fail_keys, target.faults.slow_s = None, 0.0
    for plugin in ("blocks", "never-returns"):
        (world.flags / f"{plugin}.flag").unlink(missing_ok=True)
    await world.control("DELETE", "faults")
    del observed.configuration["subscribers"]["late"]["settings"]["ca_file"]
    await observed.reconfigure()
    await observed.shows(
        lambda look: (
            look.value("streamer_configuration_applied") == 1
            and look.value("streamer_subscriber_following", subscriber="late") == 1
        )
    )
    await observed.call("subscribers", "resume", "stocktaking")
    for name in ("refusing", "down"):
        await observed.call("subscribers", "probe", name)
    await observed.call("deadletters", "redrive", "--subscriber", "rejecting", "--yes", "--per-second", "100")
    await observed.call("deadletters", "discard", "--channel", ORDERS, "--yes")
    await observed.call("snapshot", "start", "Account", "--yes")
    # The plugin never returns.
    await observed.daemon.kill()
    await observed.start()
    world.log_in()
    await observed.shows(_is_mended)


def _is_mended(look: Look) -> bool:
    """Tell whether nothing waits, after a restart that begins with all counters at zero."""
    gauges = (
        "dead_letters_waiting",
        "subscriber_held",
        "breaker_open",
        "parked_events",
        "stuck",
        "lookups_waiting",
        "delivery_lag_events",
    )
    is_read = look.value("streamer_channel_up", channel=LOGINS) == 1
    return is_read and not any(look.value(f"streamer_{each}") for each in gauges)


def _configuration(url: str, targets: Mapping[str, FulfillmentReceiver], folder: Path) -> dict[str, Any]:
    subscribers = {name: _subscriber(targets[name].url) for name in _ON_ORDERS}
    # This one is to meet its target again and again, whatever comes of it.
    subscribers["failing"]["breaker"] = {"minimum": 10_000}
    slow = _subscriber(targets[_SLOW].url, order="subject")
    subscribers[_SLOW] = slow | {"on": "salesforce.cdc.Account.created", "max_in_flight": 1}
    subscribers["blocking"] = _with_flag("blocks", folder) | {"max_in_flight": 1}
    subscribers["sticking"] = _with_flag("never-returns", folder) | {"deliver_timeout_s": 0.2}
    subscribers["enriched"] = {
        "uses": "file",
        "on": "salesforce.event.*",
        "start": "earliest",
        "enrich": {
            "customer": {"sobject": "Contact", "id": "data.fields.Customer__c", "fields": ["LastName"]}
        },
        "settings": {"path": str(folder / "orders.jsonl")},
        "retry": _QUICK,
    }
    log = {"sqlite": {"path": str(folder / "log.db")}}
    configuration = sandbox_configuration(url, log=log, subscribers=subscribers)
    configuration["channels"][0]["on_gap_event"] = "record"
    configuration["channels"].append({"path": LOGINS, "start": "earliest"})
    configuration["outbound"] = {"host": "localhost", "port": 0, "messages": {"leads": {"secret": _SECRET}}}
    configuration["observe"]["stuck_after_s"] = 3
    return configuration


def _subscriber(url: str, order: str = f"data.fields.{ORDER_KEY}") -> dict[str, Any]:
    return {
        "uses": "fulfillment",
        "on": "salesforce.event.Order_Placed__e",
        "start": "earliest",
        "settings": {"url": url, "order": order},
        "retry": dict(_QUICK),
    }


def _with_flag(plugin: str, folder: Path) -> dict[str, Any]:
    settings = {"flag": str(folder / f"{plugin}.flag")}
    return {
        "uses": plugin,
        "on": "salesforce.event.Order_Placed__e",
        "start": "earliest",
        "settings": settings,
    }
