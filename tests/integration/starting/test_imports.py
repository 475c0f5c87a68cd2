"""A command imports only what it needs."""

import os
import signal
from pathlib import Path

import pytest

from tests.integration.starting.imports import imported_by, log_events, started

CONFIGURATION = """
org:
  login_url: https://acme.my.salesforce.com
  auth: {flow: client_credentials, client_id: id, client_secret: secret}
channels: [/data/ChangeEvents]
subscribers:
  sales:
    uses: slack
    on: salesforce.cdc.Opportunity.updated
    when: data.fields.StageName == 'Closed Won'
    text: "Won: {{ subject }}, {{ data.fields.Amount | money | default('amount unchanged') }}"
    settings: {webhook_url: "https://hooks.slack.com/services/T0/B0/secret"}
"""

DAEMON = ("streamer.app.daemon", "streamer.app.dispatching", "streamer.app.ingest", "streamer.ingest")
OTHERS = ("streamer.sandbox", "streamer.demo")
SLOW = ("rich", "structlog", "aiohttp", "grpc", "confluent_kafka", "opentelemetry")
NOT_OF_A_DAEMON = ("rich", "colorama", "greenlet", "xml", "streamer.salesforce.outbound.endpoint")
# A command that opens no connection runs no loop.
OF_CONNECTIONS = ("asyncio", "http.client", "urllib.request")
CONTRACTS_OF_PLUGINS = ("streamer.ports.plugins", "streamer.ports.lookups")
UNCHECKED = (
    *("streamer.console", "streamer.admin", "streamer.normalise", "streamer.protection", "cryptography"),
    *("streamer.dispatch.lookups.records", "streamer.app.enriching"),
)


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the proxies of this machine: a proxy in the environment is checked, too."""
    for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def configuration(tmp_path: Path) -> str:
    """Return the file of a configuration with the log in SQLite."""
    file = tmp_path / "streamer.yaml"
    file.write_text(CONFIGURATION + f"log: {{sqlite: {{path: {tmp_path / 'log.db'}}}}}\n")
    return str(file)


def test_help_imports_no_command() -> None:
    """The list of commands comes from a table."""
    imported = imported_by(started("--help"))

    assert not imported.below(*SLOW, "pydantic", "yaml")
    assert len(imported.below("streamer")) <= 8


def test_completion_imports_no_command() -> None:
    """A shell asks for it at each press of a key."""
    asking = {"_STREAMER_COMPLETE": "complete_bash", "COMP_WORDS": "streamer de", "COMP_CWORD": "1"}
    process = started(environ=asking)
    imported = imported_by(process)

    assert not imported.below(*SLOW, "yaml")
    assert len(imported.below("streamer")) <= 8


def test_check_imports_what_it_checks(configuration: str) -> None:
    """No daemon, no client, and not the log of the other kind."""
    process = started("check", "-c", configuration)
    imported = imported_by(process)

    assert process.returncode == 0
    assert not imported.below(*DAEMON, *OTHERS, *SLOW, *UNCHECKED, *OF_CONNECTIONS)
    assert imported.below("streamer.ports") <= {"streamer.ports", *CONTRACTS_OF_PLUGINS}
    assert len(imported.below("streamer")) <= 96


def test_check_of_a_plain_kafka_log_imports_no_client(tmp_path: Path) -> None:
    """No key of the log is set that librdkafka could refuse."""
    file = tmp_path / "streamer.yaml"
    file.write_text(CONFIGURATION + "log: {kafka: {bootstrap_servers: 'localhost:9092', partitions: 12}}\n")
    process = started("check", "-c", str(file))
    imported = imported_by(process)

    assert process.returncode == 0
    assert not imported.below(*SLOW)


def test_dead_letters_are_listed_without_a_daemon() -> None:
    """A command that asks a running daemon does not import the daemon."""
    imported = imported_by(started("deadletters", "list", "--url", "http://127.0.0.1:1"))

    assert not imported.below(*DAEMON, *OTHERS, "grpc", "confluent_kafka", "jinja2", "streamer.dispatch")
    assert len(imported.below("streamer")) <= 90


def test_daemon_imports_what_it_runs(configuration: str) -> None:
    """With the log in SQLite it needs no Kafka, and none needs the sandbox or the demo."""
    process = started("run", "-c", configuration)
    assert process.stderr is not None
    assert any(event == "daemon.started" for event in log_events(process.stderr))
    process.send_signal(signal.SIGTERM)
    imported = imported_by(process)

    assert process.returncode == 0
    assert not imported.below(*OTHERS, "confluent_kafka", "grpc", "opentelemetry", "jwt", "cryptography")
    assert not imported.below("streamer.log.kafka", "streamer.cli.operating", *NOT_OF_A_DAEMON)


def test_demo_says_its_first_line_before_it_imports_the_daemon() -> None:
    """A person waits for the import of the daemon and the sandbox, and sees that something happens."""
    imported = imported_by(started("demo", until_output=True))

    assert not imported.below(*SLOW, *DAEMON, "yaml", "streamer.sandbox", "streamer.errors")
    assert len(imported.below("streamer")) <= 10
