"""Faults of the targets, and of the credentials for them."""

import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from streamer.blocking import on_threads
from streamer.clock import SystemClock
from streamer.doctor import Area, CheckStatus
from streamer.doctor.check import examine
from streamer.doctor.targets import target_checks
from streamer.events import Delivered, Delivery, Outcome, SubscriberName
from streamer.ports import Subscriber, TargetReport
from streamer.sandbox.targets import ErpReceiver, SlackReceiver
from streamer.settings import SubscriberSettings
from tests.configuration import sandbox_configuration
from tests.deliveries import context
from tests.doctor import examined, line, the_fault
from tools.mosquitto import Mosquitto

_NOWHERE = "http://localhost:9"
_SECRET = "s3cret-of-this-test"


def subscribed(uses: str, **settings: Any) -> dict[str, Any]:
    """Return a configuration with one subscriber; its org is not asked."""
    target = {"uses": uses, "on": "salesforce.cdc.*", "settings": settings}
    return sandbox_configuration(
        _NOWHERE, log={"sqlite": {"path": "unused.db"}}, subscribers={"target": target}
    )


async def fault(folder: Path, uses: str, *, within_s: float = 10.0, **settings: Any) -> str:
    """Return the only fault of a subscriber with these settings, which holds no secret."""
    diagnosis = await examined(folder, subscribed(uses, **settings), Area.SUBSCRIBERS, timeout_s=within_s)
    found = the_fault(diagnosis)
    assert _SECRET not in found
    return found


async def good(folder: Path, uses: str, **settings: Any) -> str:
    """Return the line of a subscriber without a fault."""
    diagnosis = await examined(folder, subscribed(uses, **settings), Area.SUBSCRIBERS)
    (finding,) = diagnosis.findings
    assert finding.verdict.status is CheckStatus.OK, line(finding)
    return finding.verdict.found


@pytest.fixture
async def erp() -> AsyncIterator[ErpReceiver]:
    """An ERP."""
    async with ErpReceiver(SystemClock()) as receiver:
        yield receiver


@pytest.fixture
async def slack() -> AsyncIterator[SlackReceiver]:
    """A workspace with one token."""
    async with SlackReceiver(SystemClock(), token="the-right-one") as receiver:
        yield receiver


@pytest.mark.parametrize(
    ("uses", "settings", "expected"),
    [
        ("erp", {"url": _NOWHERE}, "can't connect to localhost:9.*-> check the subscriber's settings"),
        ("mqtt", {"url": "mqtt://localhost:9", "topic": "t"}, "can't connect to localhost:9.*-> check"),
        (
            "kafka",
            {"bootstrap_servers": "localhost:9", "topic": "t", "timeout_s": 1},
            "Kafka can't be reached",
        ),
        ("file", {"path": "/not/there/events.jsonl"}, "/not/there does not exist -> create the folder"),
        ("salesforce", {"update": "Account", "own_changes": "deliver"}, f"{_NOWHERE}.* can't be reached"),
    ],
)
async def test_target_that_is_not_there_is_one_line(
    tmp_path: Path, uses: str, settings: dict[str, Any], expected: str
) -> None:
    """Whatever kind of target it is."""
    found = await fault(tmp_path, uses, **settings)

    assert re.search(f"failed target: .*{expected}", found), found


async def test_refused_credentials_are_one_line(tmp_path: Path, erp: ErpReceiver) -> None:
    """Of a target that says so, or whose token endpoint does; nothing was delivered."""
    oauth = {
        "kind": "oauth2",
        "token_url": f"{erp.url}/oauth/token",
        "client_id": "us",
        "client_secret": _SECRET,
    }
    erp.require_oauth("us", "another secret")
    no_token = await fault(tmp_path, "erp", url=f"{erp.url}/api/invoices", auth=oauth)
    erp.faults.unauthorized = True
    key = {"kind": "api_key", "key": _SECRET}
    refused = await fault(tmp_path, "webhook", url=f"{erp.url}/api/{{entity}}", auth=key)

    assert "the token endpoint refused the client (invalid_client)" in no_token
    assert re.search("refuses the credentials .*401 Unauthorized.*-> check auth", refused), refused
    assert not erp.documents
    assert {each.method for each in erp.journal} == {"OPTIONS"}


def looking_up(*services: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with a sound subscriber, and a look-up in each of `services`."""
    configuration = subscribed("stdout")
    lookups = {
        f"look{number}": {"http": service, "id": "data.record_id", "fields": ["name"]}
        for number, service in enumerate(services)
    }
    configuration["subscribers"]["target"]["enrich"] = lookups
    return configuration


async def test_service_of_look_ups_is_tried_once(tmp_path: Path, erp: ErpReceiver) -> None:
    """As a target is, with its credentials; look-ups that share the service share the line."""
    service = {"url": f"{erp.url}/api/customers/{{id}}", "auth": {"kind": "bearer", "token": _SECRET}}
    diagnosis = await examined(tmp_path, looking_up(service, service), Area.SUBSCRIBERS)
    target, found = map(line, diagnosis.findings)

    assert target.startswith("ok target: ")
    assert found.startswith("ok target, enrich look0: "), found
    assert [each.method for each in erp.journal] == ["OPTIONS"]
    erp.faults.unauthorized = True
    refused = the_fault(await examined(tmp_path, looking_up(service), Area.SUBSCRIBERS))
    assert re.search("failed target, enrich look0: .*401 Unauthorized.*-> check auth", refused), refused
    assert _SECRET not in refused


async def test_service_of_look_ups_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """With what to check."""
    service = {"url": f"{_NOWHERE}/customers/{{id}}"}
    found = the_fault(await examined(tmp_path, looking_up(service), Area.SUBSCRIBERS))

    assert found == (
        "failed target, enrich look0: can't connect to localhost:9: Connection refused "
        "-> check the settings under http in enrich, and that the service runs"
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [(503, "answers 503 .*-> start the target again"), (302, "answers 302 .*-> set url to the address")],
)
async def test_target_that_can_not_work_is_one_line(
    tmp_path: Path, erp: ErpReceiver, status: int, expected: str
) -> None:
    """A gateway without a server, and an address that leads elsewhere."""
    erp.faults.retry_after, erp.faults.busy_status = "7", status
    found = await fault(tmp_path, "fulfillment", url=erp.url)

    assert re.search(expected, found), found


async def test_target_that_answers_is_good(tmp_path: Path, erp: ErpReceiver) -> None:
    """The line says what is proved, and what is not."""
    basic = {"kind": "basic", "username": "us", "password": _SECRET}
    erp.require_oauth("us", _SECRET)
    oauth = {
        "kind": "oauth2",
        "token_url": f"{erp.url}/oauth/token",
        "client_id": "us",
        "client_secret": _SECRET,
    }

    assert "only the first delivery shows" in await good(tmp_path, "erp", url=f"{erp.url}/api/x", auth=basic)
    assert "gave a token" in await good(tmp_path, "erp", url=f"{erp.url}/api/x", auth=oauth)


async def test_slack_token_is_tried_without_a_message(tmp_path: Path, slack: SlackReceiver) -> None:
    """A webhook can't be tried at all, which its line says."""
    app: dict[str, Any] = {"channel": "#sales", "api_url": slack.api_url}
    refused = await fault(tmp_path, "slack", token=_SECRET, **app)
    accepted = await good(tmp_path, "slack", token="the-right-one", **app)
    webhook = await good(tmp_path, "slack", webhook_url=slack.webhook_url)

    assert re.search("Slack answered invalid_auth -> set token", refused), refused
    assert "Slack accepts the token" in accepted
    assert "can't be tried without a message" in webhook
    assert "secret" not in webhook
    assert not slack.messages


async def test_slow_target_is_one_line(tmp_path: Path, erp: ErpReceiver) -> None:
    """No check can hold the others up."""
    erp.faults.slow_s = 30.0
    found = await fault(tmp_path, "erp", within_s=1.0, url=erp.url)

    assert "no result within 1 s -> check the network" in found


@pytest.fixture
def mqtt_broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Run a broker that knows one user."""
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "us", "the-right-one"], check=True)
    with Mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}") as running:
        yield running


async def test_mqtt_login_is_tried_beside_the_daemon(tmp_path: Path, mqtt_broker: Mosquitto) -> None:
    """Under another id, so that the session of the daemon goes on."""
    url = f"mqtt://localhost:{mqtt_broker.port}"
    login: dict[str, Any] = {"url": url, "topic": "t", "username": "us", "client_id": "daemon"}
    refused = await fault(tmp_path, "mqtt", password=_SECRET, **login)
    async with connected(mqtt_broker.port) as is_connected:
        accepted = await good(tmp_path, "mqtt", password="the-right-one", **login)
        assert is_connected()

    assert re.search("(bad user name or password|not authorized).*-> check username", refused), refused
    assert "accepts the connection" in accepted


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Callable[[], bool]]:
    """Hold a session of the client `daemon`, and return whether it still is connected."""
    from subscribers.mqtt import Mqtt

    settings = {"url": f"mqtt://localhost:{port}", "topic": "t", "client_id": "daemon"}
    login = {"username": "us", "password": "the-right-one"}
    async with Mqtt(Mqtt.Settings.model_validate(settings | login), context(SystemClock())) as plugin:
        assert plugin._session is not None
        connection = await plugin._session.connection()
        yield lambda: connection.is_open


class Plain:
    """Plugin without a call that changes nothing."""

    def deliver(self, _: Delivery, /) -> Outcome:
        """Take the event."""
        return Delivered()


class Blocking(Plain):
    """Plugin of a blocking library, which has such a call."""

    def examine_target(self) -> TargetReport:
        """Return a report."""
        return TargetReport(is_well=False, found="the spool is full", remedy="empty it")


class Broken(Plain):
    """Plugin whose call has a mistake."""

    def examine_target(self) -> TargetReport:
        """Raise what repeats a secret."""
        raise ValueError(_SECRET)


class Exiting(Plain):
    """Plugin whose call ends the process."""

    def examine_target(self) -> TargetReport:
        """Raise what a script does."""
        raise SystemExit(_SECRET)


@pytest.mark.parametrize(
    ("plugin", "expected"),
    [
        (
            Exiting,
            "failed target: the check could not finish, .* raised SystemExit -> report this error",
        ),
        (Plain, "skipped target: the plugin own offers no harmless call .*subscribers test target`"),
        (Blocking, "failed target: the spool is full -> empty it"),
        (
            Broken,
            "failed target: the check could not finish, .* raised ValueError -> report this error",
        ),
    ],
)
async def test_plugin_of_others_is_asked_on_its_thread(plugin: type[Plain], expected: str) -> None:
    """With or without a call of its own, and whatever the call does."""
    name = SubscriberName("target")

    def make() -> Subscriber:
        return on_threads(plugin(), name=name, threads=1)

    settings = {name: SubscriberSettings(uses="own", on=("*",))}
    checks = list(target_checks(settings, {name: make}))
    (finding,) = await examine(checks, SystemClock(), timeout_s=10.0)

    assert re.search(expected, line(finding)), line(finding)
    assert _SECRET not in line(finding)
