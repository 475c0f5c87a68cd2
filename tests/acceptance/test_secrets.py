"""No failure reveals a secret."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.auth.connected_app import ConnectedApp
from streamer.sandbox.server import SandboxSettings
from streamer.sandbox.targets import ErpReceiver, FulfillmentReceiver
from tests.acceptance.kept import KeptInSqlite
from tests.configuration import CHANGES, ORDER_KEY, sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import until

_ORG = "canary-org-client-secret"
_ERP = "canary-erp-client-secret"
_API_KEY = "canary-fulfilment-api-key"
_WEBHOOK = "canary-webhook-path"
_ENVIRON = {"ORG_SECRET": _ORG, "ERP_SECRET": _ERP, "API_KEY": _API_KEY}
_ORDERS = "salesforce.event.Order_Placed__e"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An org and three targets; each asks for a secret of its own."""

    sandbox: Sandbox
    erp: ErpReceiver
    fulfillment: FulfillmentReceiver
    directory: Path

    def config(self) -> Path:
        """Write a configuration that gets its secrets from the environment and from a file."""
        (self.directory / "webhook").write_text(f"{self.fulfillment.url}/services/T0/B0/{_WEBHOOK}\n")
        log = KeptInSqlite(self.directory).configuration
        configuration = sandbox_configuration(self.sandbox.url, log=log, subscribers=self._subscribers())
        configuration["org"]["auth"]["client_secret"] = "${ORG_SECRET}"
        configuration["org"]["pubsub"] = {"endpoint": f"http://{self.sandbox.pubsub_address}"}
        configuration["channels"][1]["transport"] = "pubsub"
        configuration["observe"]["log_level"] = "debug"
        configuration["grace_period_s"] = 1
        return written(self.directory, configuration)

    def _subscribers(self) -> dict[str, object]:
        retry = {"first_delay_s": 0.05, "max_delay_s": 0.05, "give_up_after_s": 0.3}
        oauth = {
            "kind": "oauth2",
            "token_url": f"{self.erp.url}/oauth/token",
            "client_id": "erp",
            "client_secret": "${ERP_SECRET}",
        }
        order = f"data.fields.{ORDER_KEY}"
        # An outage would cost no attempt, and make no dead letters.
        breaker = {"minimum": 1_000}
        common = {"on": _ORDERS, "start": "earliest", "retry": retry, "breaker": breaker}
        return {
            "invoice": common
            | {
                "uses": "erp",
                "body": {"order": order},
                "settings": {"url": f"{self.erp.url}/api/invoices", "external_id": order, "auth": oauth},
            },
            "shipment": common
            | {
                "uses": "fulfillment",
                "settings": {
                    "url": self.fulfillment.url,
                    "order": order,
                    "auth": {"kind": "api_key", "key": "${API_KEY}"},
                },
            },
            # The other service knows no such path, and says so with the path in its page.
            "people": common
            | {
                "uses": "slack",
                "text": "An order",
                "settings": {"webhook_url": {"file": "webhook"}, "interval_s": 0},
            },
        }


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """All parts, running."""
    clock = SystemClock()
    app = SandboxSettings(app=ConnectedApp(client_secret=_ORG))
    async with AsyncExitStack() as stack:
        erp = await stack.enter_async_context(ErpReceiver(clock).require_oauth("erp", _ERP))
        fulfillment = await stack.enter_async_context(FulfillmentReceiver(clock))
        fulfillment.require_api_key(_API_KEY)
        sandbox = await stack.enter_async_context(Sandbox(clock, pubsub_port=0, settings=app))
        yield World(sandbox=sandbox, erp=erp, fulfillment=fulfillment, directory=tmp_path)


async def test_no_secret_is_in_logs_metrics_or_the_log_file_whatever_fails(world: World) -> None:
    """Targets that echo what they were sent, a revoked token, a broken answer and an unreadable event."""
    token_prefix = world.sandbox.org.settings.org_id[:15] + "!"
    for target in (world.erp, world.fulfillment):
        target.faults.echo = True
        target.faults.fail_keys, target.faults.fail_status = ".", 500
    async with Daemon.running(world.config(), environ=_ENVIRON) as daemon:
        await daemon.ready()
        for number in range(5):
            world.sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: str(number)})
        world.sandbox.faults.unreadable(CHANGES)
        world.sandbox.faults.broken_response("garbage", needs_events=False)
        world.sandbox.tokens.revoke_all()

        async def all_failed() -> bool:
            letters = await daemon.metric("streamer_dead_letters_total", stage="dispatch")
            return letters >= 15 and bool(daemon.logged("session.lost"))

        await until(all_failed)
        page = await daemon.metrics_page()
        await daemon.stop()

    everything = page.encode() + daemon.output.encode() + _files(world.directory)
    for secret in (_ORG, _ERP, _API_KEY, _WEBHOOK, token_prefix):
        assert secret.encode() not in everything, secret


async def test_refused_start_shows_no_secret(world: World) -> None:
    """A wrong secret of the org is not repeated by the sentence that says so."""
    wrong = {**_ENVIRON, "ORG_SECRET": "canary-wrong-secret"}
    async with Daemon.running(world.config(), environ=wrong) as daemon:
        assert await daemon.ended() == 1
    assert "refused the login" in daemon.output
    assert "canary" not in daemon.output


def _files(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.glob("log.db*"))
