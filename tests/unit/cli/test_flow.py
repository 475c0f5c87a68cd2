"""`streamer flow` draws what comes after what, without secrets and without a daemon."""

from pathlib import Path
from xml.etree import ElementTree as ET

import orjson
import pytest
from typer.testing import CliRunner

from streamer.cli import app

CONFIGURATION = """\
org:
  login_url: https://acme.my.salesforce.com
  auth: {flow: client_credentials, client_id: app, client_secret: "${NO_SUCH_SECRET}"}
channels: [/data/ChangeEvents, /event/Order_Placed__e]
subscribers:
  invoice: {uses: erp, on: salesforce.cdc.Opportunity.updated, settings: {url: "${NO_SUCH_URL}"}}
  shipment: {uses: fulfillment, after: invoice}
  undo: {uses: erp, after: invoice, on_rejected: run}
  credit: {uses: erp, on: [salesforce.cdc.Opportunity.updated, salesforce.event.*]}
  news: {uses: slack, after: [shipment, credit], on: salesforce.cdc.*}
"""
TREE = """\
/data/ChangeEvents
└── salesforce.cdc.Opportunity.updated
    ├── invoice (erp)
    │   ├── shipment (fulfillment)
    │   │   └── news (slack, only salesforce.cdc.*, after shipment and credit)
    │   └── undo (erp, also what was rejected)
    └── credit (erp)
        └── news, as above
/event/Order_Placed__e
└── salesforce.event.*
    └── credit, as above
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write a configuration of which the secrets are missing."""
    path = tmp_path / "streamer.yaml"
    path.write_text(CONFIGURATION)
    return path


def flow(*arguments: str | Path) -> str:
    """Return what the command prints."""
    result = CliRunner().invoke(app, ["flow", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_tree_shows_each_subscriber_under_what_leads_to_it(config: Path) -> None:
    """In full once, and by its name in other places."""
    lines = [line.rstrip() for line in flow("-c", config).splitlines()]

    assert lines == TREE.splitlines()


def test_json_has_the_arrows_and_the_subscribers(config: Path) -> None:
    """For programs."""
    found = orjson.loads(flow("-c", config, "--json"))

    assert ["shipment", "news"] in found["arrows"]
    assert ["credit", "news"] in found["arrows"]
    assert found["subscribers"][1] == {
        "name": "shipment",
        "uses": "fulfillment",
        "on": [],
        "when": None,
        "after": ["invoice"],
        "on_rejected": "skip",
    }


def test_drawing_is_well_formed_and_names_every_subscriber(config: Path, tmp_path: Path) -> None:
    """What comes after stands to the right."""
    drawn = tmp_path / "flow.svg"
    flow("-c", config, "--svg", drawn)

    elements = ET.fromstring(drawn.read_text()).iter()  # noqa: S314 - our own
    texts = {each.text: float(each.attrib["x"]) for each in elements if each.tag.endswith("text")}
    assert texts["/data/ChangeEvents"] < texts["invoice"] < texts["shipment"] < texts["news"]


def test_cycle_is_refused_with_its_subscribers(config: Path) -> None:
    """It could not be drawn."""
    config.write_text(CONFIGURATION.replace("on: salesforce.cdc.Opportunity.updated", "after: news"))
    result = CliRunner().invoke(app, ["flow", "-c", str(config)])

    assert result.exit_code == 2
    assert "invoice after news after shipment after invoice" in " ".join(result.output.split())
