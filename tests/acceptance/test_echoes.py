"""Targets and proxies that repeat what they were sent show no secret, in no form, at no place."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aiohttp
import orjson
from aiohttp import web

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.auth.connected_app import ConnectedApp
from streamer.sandbox.server import SandboxSettings
from tests.acceptance.kept import KeptInSqlite
from tests.configuration import ORDER_KEY, sandbox_configuration, written
from tests.daemon import Daemon
from tests.operating import Operator, admin_url
from tests.waiting import until

_ORDERS = "salesforce.event.Order_Placed__e"
_RETRY = {"first_delay_s": 0.05, "max_delay_s": 0.05, "give_up_after_s": 0.3}
_SIGNING = base64.b64encode(b"canary-of-the-signing-secret-of-a-hook").decode()

# Each is in use, and in none of the forms that are known without its value.
_CANARIES = {
    "ORG_SECRET": "canary/org client secret",
    "REFRESH_TOKEN": "5Aep.canary/refresh+token",
    "CLIENT_SECRET": "canary other client secret",
    "BEARER": "canary/bearer+token",
    "BASIC": 'canary "basic" password',
    "API_KEY": "canary-api/key",
    "HEADER": "canary/header+value",
    "WS_PASSWORD": "canary <ws> password",
    "MQTT_PASSWORD": "canary-mqtt/password",
    "KAFKA_PASSWORD": "canary-kafka/password",
    "SIGNING": f"whsec_{_SIGNING}",
    "ADMIN_TOKEN": "canary/admin+token-of-the-operator",
}
_GIVEN = {"ACCESS_TOKEN": "canary!access/token+of=another-org", "OAUTH_TOKEN": "canary/oauth+token"}


@dataclass(slots=True)
class Echo:
    """A server that gives tokens, and repeats every other request in its refusal, in many forms."""

    url: str = ""

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a login, or repeat the request."""
        content = await request.text()
        if request.path == "/services/oauth2/token":
            identity = f"{self.url}/id/00D000000000001EAA/005000000000001AAA"
            token = {"access_token": _GIVEN["ACCESS_TOKEN"], "instance_url": self.url, "id": identity}
            return web.json_response(token)
        if request.path == "/oauth/token":
            return web.json_response({"access_token": _GIVEN["OAUTH_TOKEN"], "expires_in": 3600})
        shown = [*(f"{name}={value}" for name, value in request.headers.items()), content, request.path_qs]
        whole = " ".join(shown)
        told = f"{whole} {quote(whole, safe='')} {base64.b64encode(whole.encode()).decode()}"
        return web.json_response([{"errorCode": "ECHO", "message": told[:490]}, {"rest": told}], status=400)


@asynccontextmanager
async def echo() -> AsyncIterator[Echo]:
    """Serve an `Echo`."""
    server = Echo()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def _subscribers(echo: Echo) -> dict[str, object]:
    """Return a subscriber for each plugin and kind of secret."""
    order = f"data.fields.{ORDER_KEY}"
    org = {
        "login_url": echo.url,
        "auth": {
            "flow": "client_credentials",
            "client_id": "other",
            "client_secret": "${CLIENT_SECRET}",
        },
    }
    oauth = {
        "kind": "oauth2",
        "token_url": f"{echo.url}/oauth/token",
        "client_id": "c",
        "client_secret": "${CLIENT_SECRET}",
    }
    key = {"kind": "api_key", "key": "${API_KEY}"}
    hook: dict[str, object] = {"url": f"{echo.url}/hook", "signing": {"secrets": ["${SIGNING}"]}}
    kafka = {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "username": "u"}
    mqtt: dict[str, object] = {"username": "u", "password": "${MQTT_PASSWORD}", "topic": "t"}
    plugins: dict[str, tuple[str, dict[str, object]]] = {
        "rest": ("salesforce", {"org": org, "call": {"rest": "/echo"}}),
        "apex": ("salesforce", {"org": org, "call": {"soap": "Echo", "method": "echo"}}),
        "record": ("salesforce", {"org": org, "create": "Task"}),
        "event": ("salesforce", {"org": org, "event": "Other__e", "transport": "rest"}),
        "bearer": ("webhook", hook | {"auth": {"kind": "bearer", "token": "${BEARER}"}}),
        "basic": ("webhook", hook | {"auth": {"kind": "basic", "username": "u", "password": "${BASIC}"}}),
        "header": ("webhook", {"url": f"{echo.url}/hook", "headers": {"X-Own": "${HEADER}"}}),
        "erp": ("erp", {"url": f"{echo.url}/api", "external_id": order, "auth": oauth}),
        "shipment": ("fulfillment", {"url": echo.url, "order": order, "auth": key}),
        "slack": ("slack", {"webhook_url": f"{echo.url}/services/T0/B0/canarypathofahook", "interval_s": 0}),
        "soap": (
            "erp",
            {
                "url": f"{echo.url}/soap",
                "soap": {
                    "operation": "Create",
                    "namespace": "urn:x",
                    "security": {"username": "u", "password": "${WS_PASSWORD}"},
                },
            },
        ),
        "mqtt": ("mqtt", mqtt | {"url": f"mqtt://127.0.0.1:{echo.port}"}),
        "kafka": (
            "kafka",
            {
                "bootstrap_servers": f"127.0.0.1:{echo.port}",
                "topic": "t",
                "security": kafka | {"password": "${KAFKA_PASSWORD}"},
            },
        ),
    }
    common = {"on": _ORDERS, "start": "earliest", "retry": _RETRY, "breaker": {"minimum": 1_000}}
    text, body = {"text": "An order"}, {"body": {"Subject": order}}
    return {
        name: common | {"uses": uses, "settings": settings} | (text if uses == "slack" else body)
        for name, (uses, settings) in plugins.items()
    }


def _configuration(directory: Path, sandbox: Sandbox, echo: Echo) -> Path:
    log = KeptInSqlite(directory).configuration
    configuration = sandbox_configuration(sandbox.url, log=log, subscribers=_subscribers(echo))
    configuration["org"]["auth"]["client_secret"] = "${ORG_SECRET}"
    configuration["org"]["client_name"] = "echoes"
    configuration["observe"]["log_level"] = "debug"
    configuration["admin"]["token"] = "${ADMIN_TOKEN}"
    configuration["grace_period_s"] = 1
    return written(directory, configuration)


async def _pages(daemon: Daemon, *paths: str) -> str:
    headers = {"Authorization": f"Bearer {_CANARIES['ADMIN_TOKEN']}"}
    said = []
    async with aiohttp.ClientSession(await admin_url(daemon), headers=headers) as http:
        for path in paths:
            async with http.get(path) as response:
                said.append(await response.text())
    return "\n".join(said)


async def _commands(operator: Operator, config: Path) -> str:
    """Return what the commands say."""
    calls = [
        *(["subscribers", "test", name, "--json"] for name in ("rest", "apex", "record", "basic", "mqtt")),
        ["subscribers", "list", "--json"],
        ["deadletters", "list", "--json"],
        ["doctor", "-c", str(config), "--timeout", "5", "--json"],
        ["run", "--print", "-c", str(config)],
        ["check", "-c", str(config)],
        ["audit", "--json"],
        ["events", "--json"],
        ["flow", "-c", str(config)],
    ]
    said = await asyncio.gather(*(operator.call(*call) for call in calls))
    return "\n".join(each.output + each.error for each in said)


def _files(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.glob("log.db*"))


def _forms(secret: str) -> set[bytes]:
    """Return what a reader could find of `secret`."""
    whole = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], secret.removeprefix("whsec_")}
    for before in ("", "x", "xx"):
        encoded = base64.b64encode((before + secret).encode()).decode()
        whole.add(encoded[4:-4])
    return {each.encode() for each in whole}


async def test_echo_is_in_no_file_page_answer_or_line(tmp_path: Path) -> None:
    """Every plugin, the commands and pages of an operator, the log and the daemon's output."""
    app = SandboxSettings(app=ConnectedApp(client_secret=_CANARIES["ORG_SECRET"]))
    async with Sandbox(SystemClock(), settings=app) as sandbox, echo() as server:
        config = _configuration(tmp_path, sandbox, server)
        names = _subscribers(server).keys() - {"kafka", "mqtt"}
        async with Daemon.running(config, environ=_CANARIES) as daemon:
            await daemon.ready()
            sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: "1"})

            async def all_failed() -> bool:
                told = orjson.loads(await _pages(daemon, "/dead-letters?last=100"))
                return names <= {each["subscriber"] for each in told["letters"]}

            await until(all_failed)
            operator = await Operator.of(daemon, **_CANARIES, STREAMER_ADMIN_TOKEN=_CANARIES["ADMIN_TOKEN"])
            said = await _commands(operator, config)
            said += await _pages(
                daemon,
                "/dead-letters?last=100",
                "/subscribers",
                "/console/",
                "/console/dead-letters",
                "/console/subscribers/rest",
                "/console/configuration",
            )
            said += await daemon.metrics_page()
            await daemon.stop()
        said += daemon.output

    everything = said.encode() + _files(tmp_path)
    assert b"ECHO" in everything
    shown = {
        name
        for name, secret in {**_CANARIES, **_GIVEN, "PATH": "canarypathofahook"}.items()
        if any(form in everything for form in _forms(secret))
    }
    assert not shown
