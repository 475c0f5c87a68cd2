"""A daemon that publishes what it reads into the same org, through faults."""

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from streamer.app.plan import plan
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.errors import ConfigurationError
from streamer.sandbox.server import Sandbox
from subscribers.salesforce import outcomes
from tests.configuration import CHANGES, ORDERS, over_pubsub, sandbox_configuration, written
from tests.in_process import offer_plugins, running
from tests.waiting import until

PAID = "Paid__e"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer the plugin, however the package was installed."""
    offer_plugins(monkeypatch, salesforce="subscribers.salesforce:Salesforce")


def configuration(sandbox: Sandbox, tmp_path: Path, **subscriber: Any) -> Path:
    """Write the configuration of a daemon that publishes a payment for each account."""
    written_out: dict[str, Any] = over_pubsub(
        sandbox_configuration(sandbox.url, log={"sqlite": {"path": str(tmp_path / "log.db")}}),
        sandbox.pubsub_address,
    )
    payments = {
        "uses": "salesforce",
        "on": "salesforce.cdc.Account.created",
        "body": {"Account__c": "data.fields.Name"},
        "settings": {"event": PAID},
        "retry": {"first_delay_s": 0.05},
        **subscriber,
    }
    return written(tmp_path, {**written_out, "subscribers": {"payments": payments}})


def payments(sandbox: Sandbox) -> dict[str, list[str]]:
    """Return the ids of the events that were published for each account, in order."""
    found: dict[str, list[str]] = {}
    for each in sandbox.bus.after(f"/event/{PAID}", 0):
        message = orjson.loads(each.data)
        found.setdefault(message["payload"]["Account__c"], []).append(message["event"]["EventUuid"])
    return found


@pytest.mark.parametrize("transport", ["pubsub", "rest"])
async def test_each_event_is_published_once_through_faults(
    tmp_path: Path, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expired token, a service that is away, refusals; repeated events are known by their ids."""
    monkeypatch.setattr(outcomes, "_FIRST_REFUSAL_S", 0.2)
    async with Sandbox(SystemClock(), pubsub_port=0) as sandbox:
        # An undeclared event has the schema of its messages so far.
        sandbox.org.publish_platform_event(PAID, {"Account__c": "first"})
        settings = {"event": PAID, "transport": transport}
        async with running(configuration(sandbox, tmp_path, settings=settings)):
            sandbox.faults.arm("unavailable", {"on": ["publish"], "times": 2})
            sandbox.faults.arm("refuse_publish", {"times": 2})
            for number in range(20):
                with sandbox.org.transaction() as transaction:
                    transaction.create("Account", {"Name": f"No {number}"})
                if number == 10:
                    sandbox.tokens.revoke_all()
            await until(lambda: len(payments(sandbox)) == 21)
    found = payments(sandbox)
    assert found.keys() == {"first", *(f"No {number}" for number in range(20))}
    assert all(len(set(ids)) == 1 for ids in found.values())
    assert Counter(map(len, found.values())) == {1: 21}


async def test_daemon_and_subscriber_share_one_login(tmp_path: Path) -> None:
    """A user has few grants."""
    async with Sandbox(SystemClock(), pubsub_port=0) as sandbox:
        sandbox.org.publish_platform_event(PAID, {"Account__c": "first"})
        async with running(configuration(sandbox, tmp_path)):
            with sandbox.org.transaction() as transaction:
                transaction.create("Account", {"Name": "Acme"})
            await until(lambda: len(payments(sandbox)) == 2)
            assert len(sandbox.tokens) == 1


async def test_refused_login_of_a_new_configuration_leaves_the_former_one(tmp_path: Path) -> None:
    """To the subscriber too, which was made of the new one for a moment."""
    async with Sandbox(SystemClock(), pubsub_port=0) as sandbox:
        sandbox.org.publish_platform_event(PAID, {"Account__c": "first"})
        path = configuration(sandbox, tmp_path)
        async with running(path) as app:
            await until(lambda: app.status.is_complete)
            path.write_text(path.read_text().replace("sandbox-secret", "mistyped"), encoding="utf-8")
            with capture_logs() as logs:
                app.reload()
                await until(lambda: any(line["event"] == "configuration.refused" for line in logs))
            with sandbox.org.transaction() as transaction:
                transaction.create("Account", {"Name": "Acme"})
            await until(lambda: len(payments(sandbox)) == 2)


async def test_loop_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    """With its place, before anything connects."""
    settings = {"event": ORDERS}
    async with Sandbox(SystemClock(), pubsub_port=0) as sandbox:
        path = configuration(sandbox, tmp_path, on="salesforce.event.*", settings=settings)
    with pytest.raises(ConfigurationError) as refused:
        plan(load_document([path]), SystemClock())

    [line] = str(refused.value).splitlines()
    assert (
        ": subscribers.payments.settings: the subscriber publishes Order_Placed__e and also receives" in line
    )
    assert CHANGES not in line
