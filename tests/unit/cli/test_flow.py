"""`streamer flow` draws the chains, without secrets and without a daemon."""

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
    │   └── undo (erp, also rejected events)
    └── credit (erp)
        └── news, as above
/event/Order_Placed__e
└── salesforce.event.*
    └── credit, as above
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write a configuration without its secrets."""
    path = tmp_path / "streamer.yaml"
    path.write_text(CONFIGURATION)
    return path


def flow(*arguments: str | Path) -> str:
    """Return what the command prints."""
    result = CliRunner().invoke(app, ["flow", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def elements_of(drawn: Path) -> list[ET.Element]:
    """Return the elements of a drawing."""
    return list(ET.fromstring(drawn.read_text()).iter())  # noqa: S314 - our own


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
    """Later subscribers stand to the right."""
    drawn = tmp_path / "flow.svg"
    flow("-c", config, "--svg", drawn)

    texts = {each.text: float(each.attrib["x"]) for each in elements_of(drawn) if each.tag.endswith("text")}
    assert texts["/data/ChangeEvents"] < texts["invoice"] < texts["shipment"] < texts["news"]


@pytest.mark.parametrize(("on", "types"), [("", []), ('on: "*", ', ["*"]), ("on: [a, '**'], ", ["a", "**"])])
def test_pattern_that_leaves_nothing_out_is_not_told(config: Path, on: str, types: list[str]) -> None:
    """Nor is one that stands in for a missing key, while another part is mistaken."""
    mistaken = CONFIGURATION.replace("https://acme.my.salesforce.com", "${NO_SUCH_URL}")
    config.write_text(mistaken.replace("after: invoice}", f"{on}after: invoice}}"))

    assert "── shipment (fulfillment)\n" in flow("-c", config)
    assert orjson.loads(flow("-c", config, "--json"))["subscribers"][1]["on"] == types


LONG = f"data.fields.Name == '{'x' * 80}'"


@pytest.mark.parametrize(
    ("when", "told", "whole"),
    [
        ("receipts.invoice.number != `null`", "when receipts.invoice.number != `null`", None),
        ("a == 'x'\n  &&   b", "when a == 'x' && b", None),
        (LONG, f"when {LONG[:54]}…", None),
        ("${NO_SUCH_WHEN}", "when ***", "***"),
        ("${HIDDEN_WHEN}", "when ***", "***"),
    ],
)
def test_condition_of_a_subscriber_is_told(
    config: Path, monkeypatch: pytest.MonkeyPatch, when: str, told: str, whole: str | None
) -> None:
    """In one line that ends where there is no room; what can be a secret is hidden."""
    monkeypatch.setenv("HIDDEN_WHEN", "data.fields.Key == 'hunter2'")
    config.write_text(
        CONFIGURATION.replace("after: invoice}", f"after: invoice, when: {orjson.dumps(when).decode()}}}")
    )
    drawn = config.with_name("flow.svg")
    flow("-c", config, "--svg", drawn)

    assert f"── shipment (fulfillment, {told})\n" in flow("-c", config)
    assert orjson.loads(flow("-c", config, "--json"))["subscribers"][1]["when"] == (whole or when)
    assert told in [each.text for each in elements_of(drawn)]


def test_boxes_of_a_column_stand_apart(config: Path) -> None:
    """Each is as high as its lines, and holds them."""
    config.write_text(
        CONFIGURATION.replace("on: [", "when: a, on: [").replace("after: invoice", "when: b, after: invoice")
    )
    drawn = config.with_name("flow.svg")
    flow("-c", config, "--svg", drawn)

    boxes = [
        tuple(float(each.attrib[name]) for name in ("x", "y", "height"))
        for each in elements_of(drawn)
        if each.tag.endswith("rect")
    ]
    lines = [float(each.attrib["y"]) for each in elements_of(drawn) if each.tag.endswith("text")]
    for left, top, height in boxes:
        below = [other for x, other, _ in boxes if x == left and other > top]
        assert all(top + height < other for other in below)
    assert all(any(top < line < top + height - 3 for _, top, height in boxes) for line in lines)


def test_cycle_is_refused_with_its_subscribers(config: Path) -> None:
    """It could not be drawn."""
    config.write_text(CONFIGURATION.replace("on: salesforce.cdc.Opportunity.updated", "after: news"))
    result = CliRunner().invoke(app, ["flow", "-c", str(config)])

    assert result.exit_code == 2
    assert "invoice after news after shipment after invoice" in " ".join(result.output.split())
