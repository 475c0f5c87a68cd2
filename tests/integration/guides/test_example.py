"""The annotated example in `config/`."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamer.app.plan import plan
from streamer.cli import app
from streamer.clock import SystemClock
from streamer.configuration import load_document
from tests.keys import private_key_pem

EXAMPLE = Path(__file__).parents[3] / "config" / "streamer.yaml"
ENVIRONMENT = {
    "SF_CLIENT_ID": "invented",
    "SF_PRIVATE_KEY": private_key_pem(),
    "KAFKA_PASSWORD": "invented",
    "ERP_CLIENT_SECRET": "invented",
    "FULFILLMENT_API_KEY": "invented",
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/invented",
}


def test_example_is_valid_to_the_last_expression() -> None:
    """A copy of the example, with its variables set, is a configuration that starts."""
    checked = plan(load_document([EXAMPLE], ENVIRONMENT), SystemClock())

    assert set(checked.subscribers) == {"opportunity", "shipment", "won", "sales-channel"}


def test_examples_own_tests_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader sees a test that runs."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    found = CliRunner().invoke(app, ["test", "-c", str(EXAMPLE)])

    assert found.exit_code == 0, found.output
