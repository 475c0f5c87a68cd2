"""The console beside the API, on a log in memory."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp.test_utils import TestClient, TestServer

from streamer.admin.server import CONSOLE_PATH, application, gate_of
from streamer.console import ConsoleContext, Sampler, console_application
from streamer.flow.report import FlowReport
from streamer.observe.metrics import Metrics
from streamer.settings import AdminSettings
from streamer.supervision.health import Health
from streamer.supervision.status import Status
from tests.unit.admin.world import World as Api


@dataclass
class World:
    """A daemon in memory whose console a browser opens."""

    admin: dict[str, Any] = field(default_factory=dict)
    configuration: str = "org: {}\n"
    api: Api = field(default_factory=Api)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Browser"]:
        """Serve the console and the API inside the context."""
        settings = AdminSettings.model_validate(self.admin)
        status = Status()
        status.subscribers.expect(())
        metrics = Metrics(clock=self.api.clock)
        context = ConsoleContext(
            admin=self.api.context,
            settings=settings,
            health=Health(),
            status=status,
            flow=FlowReport.of(self.api.context, status, metrics.registry),
            sampler=Sampler(registry=metrics.registry, clock=self.api.clock),
            configuration=lambda: self.configuration,
        )
        app = application(self.api.context, gate_of(self.api.context, settings))
        app.add_subapp(CONSOLE_PATH, console_application(context))
        with self.api.context.with_log(self.api.log):
            jar = aiohttp.CookieJar(unsafe=True)
            async with TestClient(TestServer(app), cookie_jar=jar) as client:
                yield Browser(client=client, context=context)


@dataclass
class Answer:
    """Response to a request."""

    status: int
    text: str
    headers: Any

    @property
    def csrf(self) -> str:
        """The token in the page's forms."""
        found = re.search('name="csrf" value="([^"]+)"', self.text)
        return found[1] if found else ""

    @property
    def place(self) -> str:
        """Where it leads."""
        return str(self.headers.get("Location", ""))


@dataclass
class Browser:
    """Sends what a browser sends, or what a test changes of that."""

    client: TestClient[Any, Any]
    context: ConsoleContext

    @property
    def origin(self) -> str:
        """The origin of the console's pages."""
        return str(self.client.make_url("/")).rstrip("/")

    async def get(self, path: str, **headers: str) -> Answer:
        """Ask for a page below /console."""
        return await self.send("GET", path, headers=headers)

    async def post(self, path: str, form: dict[str, Any], **headers: str) -> Answer:
        """Send a form from one of the console's own pages."""
        return await self.send("POST", path, data=form, headers={"Origin": self.origin, **headers})

    async def send(self, method: str, path: str, **what: Any) -> Answer:
        """Send a request of any kind; a redirect is not followed."""
        async with self.client.request(method, f"/console{path}", allow_redirects=False, **what) as answer:
            return Answer(status=answer.status, text=await answer.text(), headers=answer.headers)

    async def sign_in(self, name: str = "Anna", token: str = "", **more: str) -> Answer:
        """Send the form to sign in."""
        return await self.post("/sign-in", {"name": name, "token": token, **more})

    async def signed_in(self, name: str = "Anna", token: str = "") -> str:
        """Sign in, and return the CSRF token of the session."""
        assert (await self.sign_in(name, token)).status == 303
        return (await self.get("/subscribers")).csrf
