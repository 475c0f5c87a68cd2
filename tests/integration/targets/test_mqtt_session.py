"""A daemon whose connection to a real Mosquitto is lost continues its session, and no event is lost."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests.configuration import sandbox_configuration, written
from tests.in_process import offer_plugins, running
from tests.mqtt import Received, Wire, consuming
from tests.waiting import until
from tools.mosquitto import Mosquitto


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer the plugin, however the package was installed."""
    offer_plugins(monkeypatch, mqtt="subscribers.mqtt:Mqtt")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Run a broker that lets everybody in."""
    with Mosquitto(tmp_path) as running_broker:
        yield running_broker


def configuration(sandbox: Sandbox, wire: Wire, folder: Path, version: str) -> Path:
    """Write the configuration of a daemon that publishes the accounts over `wire`, with a session."""
    whole = sandbox_configuration(sandbox.url, log={"sqlite": {"path": str(folder / "log.db")}})
    whole["subscribers"] = {
        "warehouse": {
            "uses": "mqtt",
            "on": "salesforce.cdc.Account.*",
            "settings": {
                "url": f"mqtt://localhost:{wire.port}",
                "topic": "accounts/{record_id}",
                "client_id": "streamer-warehouse",
                "version": version,
                "qos": 1,
                "content_mode": "structured",
            },
            "retry": {"first_delay_s": 0.05, "max_delay_s": 0.2},
            "breaker": {"open_s": 0.05, "max_open_s": 0.2},
        }
    }
    return written(folder, whole)


def ids(received: list[Received]) -> list[str]:
    """Return the ids of events, in the order of their messages."""
    return [orjson.loads(each.payload)["id"] for each in received]


def names(received: list[Received], record_id: str) -> list[str]:
    """Return the names of an account in the order of their first messages."""
    found = {each["id"]: each["data"] for each in (orjson.loads(message.payload) for message in received)}
    return [each["fields"]["Name"] for each in found.values() if each["record_id"] == record_id]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_session_and_events_outlast_a_lost_connection(
    tmp_path: Path, broker: Mosquitto, version: str
) -> None:
    """Messages in flight come again with the same id, later ones come once; the order stays."""
    async with (
        Sandbox(SystemClock()) as sandbox,
        Wire.to(broker.port) as wire,
        consuming(broker.port) as consumer,
        running(configuration(sandbox, wire, tmp_path, version)),
    ):

        def create(*created: str) -> list[str]:
            with sandbox.org.transaction() as transaction:
                return [transaction.create("Account", {"Name": name}) for name in created]

        create("before")
        await consumer.until(lambda c: c.received)
        wire.is_lossy = True
        [flying, *_] = create(*(f"in flight {number}" for number in range(10)))
        # The broker has them all, and nobody knows.
        await consumer.until(lambda c: len(c.received) == 11)
        in_flight = set(ids(consumer.received)[1:])
        wire.is_down = True
        wire.cut()
        with sandbox.org.transaction() as transaction:
            transaction.update("Account", flying, {"Name": "changed"})
        create(*(f"meanwhile {number}" for number in range(10)))
        await until(lambda: wire.refused)
        wire.is_lossy = wire.is_down = False
        await consumer.until(lambda c: len(set(ids(c.received))) == 22 and len(c.received) >= 32)

    # The second connection continues the session of the first one.
    assert wire.known == [False, True]
    repeated = {each for each, count in Counter(ids(consumer.received)).items() if count > 1}
    assert repeated == in_flight
    assert names(consumer.received, flying) == ["in flight 0", "changed"]
