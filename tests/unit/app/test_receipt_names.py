"""A receipt of a subscriber that is not upstream is found before anything runs."""

from pathlib import Path

import pytest

from streamer.app.plan import plan
from streamer.clock import TurnedClock
from streamer.configuration import load_document
from streamer.errors import ConfigurationError
from tests.unit.configuration.conftest import GOOD

HEAD = GOOD.partition("subscribers:")[0]
SETTINGS = "settings: {url: https://erp.acme.com}"


def refusals(tmp_path: Path, written: str, *, after: str = "after: credit-check") -> list[str]:
    """Return the lines that refuse a subscriber of these keys, without their file and line."""
    path = tmp_path / "streamer.yaml"
    before = f'  credit-check: {{uses: erp, on: "*", body: data, {SETTINGS}}}\n'
    speaks = "text:" in written
    plugin = "slack" if speaks else "erp"
    settings = "settings: {webhook_url: https://hooks.slack.com/services/T0/B0/x}" if speaks else SETTINGS
    ours = f"  invoice:\n    uses: {plugin}\n    {after}\n    {settings}\n    {written}\n"
    path.write_text(f"{HEAD}subscribers:\n{before}{ours}")
    try:
        plan(load_document([path], {}), TurnedClock())
    except ConfigurationError as error:
        return [line.partition(": ")[2] for line in str(error).splitlines()]
    return []


@pytest.mark.parametrize(
    "written",
    [
        """body: {score: receipts."credit-check".score, others: data.fields.receipts.any}""",
        """body: data.fields.lines[?receipts.any]\n    when: receipts."credit-check".score > `5`""",
        """body: data\n    text: "{{ receipts['credit-check'].score }}, {{ data.fields.receipts.any }}\"""",
    ],
)
def test_receipts_of_those_upstream_can_be_used(tmp_path: Path, written: str) -> None:
    """And any field of an event that has such a name."""
    assert refusals(tmp_path, written) == []


@pytest.mark.parametrize(
    ("written", "keys"),
    [
        ("body: {a: [receipts.creditcheck.score]}", "body.a.0"),
        ("body: data\n    when: data.fields.a && length(receipts.creditcheck.lines[0]) > `1`", "when"),
        ('body: data\n    text: "{{ receipts.creditcheck.score | money }}"', "text"),
    ],
)
def test_receipts_of_others_are_refused(tmp_path: Path, written: str, keys: str) -> None:
    """With the name that can be meant."""
    assert refusals(tmp_path, written) == [
        (
            f"subscribers.invoice.{keys}: no earlier subscriber has this name: creditcheck; "
            "did you mean credit-check? earlier subscribers: credit-check"
        )
    ]


def test_subscriber_that_comes_after_none_has_no_receipts(tmp_path: Path) -> None:
    """Its expression would never find any."""
    line = refusals(tmp_path, "body: receipts.x.number", after='on: "*"')[0]

    assert line.startswith("subscribers.invoice.body: an event has no member with this name: receipts")
