"""The API with a log in memory, and one subscriber whose target answers as a test says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from streamer.admin import AdminContext
from streamer.admin.context import RunningSubscriber
from streamer.admin.gate import Gate
from streamer.admin.server import application
from streamer.app.chains.subscriptions import subscription
from streamer.app.chains.verdicts import RouteVerdict
from streamer.app.redriving import Redriving
from streamer.cli import app
from streamer.clock import TurnedClock
from streamer.dispatch.delivery.enrichment import Enrichment
from streamer.dispatch.delivery.route import Route
from streamer.events import DeadLetter, Event, Reject, SubscriberName
from streamer.log.memory import MemoryLog
from streamer.ports import Subscriber, Subscription
from streamer.settings import Settings
from tests.unit.admin.trial_target import TrialTarget
from tests.unit.dispatch.world import TARGET
from tests.unit.dispatch.world import World as Dispatch

SETTINGS = Settings.model_validate(
    {
        "org": {
            "login_url": "https://acme.my.salesforce.com",
            "auth": {"flow": "client_credentials", "client_id": "app", "client_secret": "canary"},
        },
        "channels": ["/data/ChangeEvents"],
        "subscribers": {
            TARGET: {"uses": "slack", "on": "*", "settings": {"webhook_url": "https://canary"}},
            "idle": {"uses": "erp", "on": "salesforce.event.*"},
        },
    }
)


@dataclass(kw_only=True)
class Plan:
    """A configuration whose plugins are the test's own."""

    settings: Settings = SETTINGS
    sources: Sequence[Path] = ()
    subscribers: Mapping[SubscriberName, Callable[[], Subscriber]]
    routes: Mapping[SubscriberName, Route]

    def subscription(self, name: SubscriberName) -> Subscription:
        """Return what a subscriber selects."""
        return subscription(name, self.settings.subscribers)

    def shown_when(self, name: SubscriberName) -> str | None:
        """Return the predicate as it is."""
        return self.settings.subscribers[name].when

    def admits(self, name: SubscriberName) -> Callable[[Event], bool]:
        """Return a test whether `when` selects an event."""
        return self.routes[name].admits


@dataclass(kw_only=True)
class DaemonState:
    """The subscribers of a process that delivers."""

    plan: Plan
    dispatchers: dict[SubscriberName, RunningSubscriber] = field(default_factory=dict)
    enriches: Callable[[], Enrichment] | None = None

    verdicts: dict[tuple[str, str], RouteVerdict] = field(default_factory=dict)

    def verdict(self, name: SubscriberName, event: Event) -> RouteVerdict:
        """Return what a test says of an event, or that it matches."""
        return self.verdicts.get((name, event.id), RouteVerdict(subscriber=name, matches=True))

    def enrichment(self, _name: SubscriberName) -> Enrichment | None:
        """Return what a test gives."""
        return self.enriches() if self.enriches else None


@dataclass
class World:
    """Log, parts and API that the tests share."""

    dispatch: Dispatch = field(default_factory=Dispatch)
    tried: TrialTarget = field(default_factory=TrialTarget)
    token: SecretStr | None = None
    reader: SecretStr | None = None

    def __post_init__(self) -> None:
        """Configure what is tried, and put the log on the context."""
        routes = {TARGET: Route(name=TARGET), SubscriberName("idle"): Route(name=SubscriberName("idle"))}
        self.daemon = DaemonState(plan=Plan(subscribers={TARGET: lambda: self.tried}, routes=routes))
        self.context = AdminContext(daemon=self.daemon, clock=self.clock)

    @property
    def clock(self) -> TurnedClock:
        """The time of everything."""
        return self.dispatch.clock

    @property
    def log(self) -> MemoryLog:
        """The log that is changed."""
        return self.dispatch.log

    @asynccontextmanager
    async def asking(self) -> AsyncIterator["Asking"]:
        """Open the API inside the context."""
        wrong = self.context.wrong_tokens
        gate = Gate(token=self.token, reader=self.reader, wrong_tokens=wrong)
        server = TestServer(application(self.context, gate))
        with self.context.with_log(self.log):
            async with TestClient(server) as client:
                yield Asking(client)

    async def fail(
        self, *names: int | str, key: str | None = None, reason: str = "422 no such field"
    ) -> None:
        """Append events that the target rejects, and let them become dead letters."""
        for name in names:
            self.dispatch.target.answers[str(name)].append(Reject(reason=reason))
        await self.dispatch.append(*names, key=key)
        async with self.dispatch.running():
            await self.dispatch.turn(5)

    async def deliver(self, *names: int | str, key: str | None = None) -> None:
        """Append events that are delivered."""
        await self.dispatch.append(*names, key=key)
        async with self.dispatch.running():
            await self.dispatch.turn(5)

    async def carry_out(self) -> None:
        """Do what is ordered, as the processes that own the partitions do."""
        async with self.dispatch.running() as dispatcher:
            for order in dict((await self.context.control_state()).redrives).values():
                redriving = Redriving(
                    order=order,
                    controls=self.log.controls,
                    dispatchers={TARGET: dispatcher},
                    clock=self.clock,
                )
                await self._finished(redriving)

    async def _finished(self, redriving: Redriving) -> None:
        task = asyncio.create_task(redriving.run())
        await self.dispatch.turn_until(task.done)

    def keep(self, letter: DeadLetter, **changes: Any) -> None:
        """Put a dead letter into the log as it is."""
        self.log._set_aside([replace(letter, **changes)])


@dataclass(frozen=True)
class Asking:
    """Asks the API."""

    client: TestClient[Any, Any]

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Return status and body of what is at `path`."""
        return await self.send("GET", path, headers=headers)

    async def post(self, path: str, **body: Any) -> tuple[int, Any]:
        """Return status and body of a request."""
        return await self.send("POST", path, json=body)

    async def send(self, method: str, path: str, **what: Any) -> tuple[int, Any]:
        """Return status and body of a request of any kind."""
        async with self.client.request(method, path, **what) as response:
            assert response.content_type == "application/json", await response.text()
            return response.status, await response.json()

    async def command(self, *arguments: str) -> Result:
        """Call a command in another thread, while this thread serves the API."""
        return await self.typed(*arguments, "--url", str(self.client.make_url("/")))

    async def typed(self, *arguments: str) -> Result:
        """Call a command as it stands."""
        return await asyncio.to_thread(CliRunner(env={"NO_COLOR": "1"}).invoke, app, arguments)
