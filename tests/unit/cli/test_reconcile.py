"""Output of a comparison, and the repair that a daemon is asked for."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from streamer.cli import app
from streamer.cli.operating.reconcile import bar, printed, reconciled_json
from streamer.cli.operating.repair_order import ordered_repair
from streamer.continuity.reconciling import Drift, DriftKind, Phase, Reconciled
from streamer.events import JsonObject
from tools.command_reference import JSON_SHAPES

AT = 1_735_689_600.0
RECORD = "001000000000001AAA"
NOTHING = Reconciled(
    entity="Account",
    channel="/data/ChangeEvents",
    stamp="SystemModstamp",
    since=AT,
    until=AT + 3_600,
    records=1_200,
    deletions=1,
    counts={},
    drift=(),
)
SOME = replace(
    NOTHING,
    counts={DriftKind.MISSING: 12_000, DriftKind.DELETION: 1},
    drift=(Drift(kind=DriftKind.MISSING, record_id=RECORD, changed_at=AT, detail="\x1b[31mred"),),
    notes=("the log holds no events before then",),
)
CONFIGURATION = """\
org:
  login_url: https://acme.my.salesforce.com
  auth: {flow: client_credentials, client_id: app, client_secret: sesame}
log: {sqlite: {path: nowhere/log.db}}
"""


@dataclass
class Orders:
    """The admin API, which takes every order."""

    asked: list[tuple[str, JsonObject]] = field(default_factory=list)

    async def post(self, path: str, **body: Any) -> JsonObject:
        """Take an order."""
        self.asked.append((path, body))
        return {"id": "snapshot:7", "channel": body["channel"]}


def test_nothing_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    """With what was compared."""
    printed(NOTHING)
    assert capsys.readouterr().out == (
        "No differences.\n"
        "Compared 1,200 records and 1 deletion of Account from 2025-01-01 00:00:00Z to 2025-01-01 01:00:00Z "
        "with the events in the log.\n"
    )


def test_differences_are_a_table_with_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing in them reaches the terminal's controls."""
    printed(SOME)
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split() == ["KIND", "RECORD", "CHANGED", "LAST", "EVENT", "DETAIL"]
    assert f"missing  {RECORD}  2025-01-01 00:00:00Z" in shown
    assert "Differences shown: the first 1 of 12,001. By kind: missing 12,000, deletion_missing 1" in shown
    assert "Note: the log holds no events before then." in shown
    assert "\x1b" not in shown


def test_differences_are_json() -> None:
    """With all that the table has."""
    shown = orjson.loads(orjson.dumps(reconciled_json(SOME, None)))
    assert shown["counts"] == {"missing": 12_000, "deletion_missing": 1}
    assert shown["drift"][0] == {
        "kind": "missing",
        "record_id": RECORD,
        "changed_at": "2025-01-01T00:00:00.000+00:00",
        "known_at": None,
        "detail": "\x1b[31mred",
    }
    assert shown["repair"] is None
    assert tuple(shown) == JSON_SHAPES["reconcile"]


async def test_repair_is_a_snapshot_of_what_was_changed_since() -> None:
    """It has no end, because later events hold later changes alone; what it can't repair is told."""
    orders = Orders()
    counts = {**SOME.counts, DriftKind.ABSENT: 1}
    order = await ordered_repair(orders, replace(SOME, counts=counts), by="anna")
    asked = {
        "entity": "Account",
        "since": "2025-01-01T00:00:00.000Z",
        "channel": "/data/ChangeEvents",
        "by": "anna",
    }
    assert orders.asked == [("/snapshots", asked)]
    assert (order.id, order.left) == ("snapshot:7", 1)
    assert "snapshot watch snapshot:7" in order.sentence
    assert order.sentence.endswith("The repair excludes 1 record that the org does not have.")


async def test_absent_records_alone_are_no_order() -> None:
    """A snapshot holds none."""
    orders = Orders()
    order = await ordered_repair(orders, replace(SOME, counts={DriftKind.ABSENT: 2}), by="anna")
    assert not orders.asked
    assert (
        order.sentence == "No repair was ordered: Streamer can't repair 2 records that the org does not have."
    )


def test_bar_takes_any_progress(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal it shows nothing."""
    with bar() as observe:
        observe(Phase.LOG, 0, 0)
        observe(Phase.ORG, 5, 3)
    assert capsys.readouterr() == ("", "")


def test_log_that_is_not_here_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the org is asked for anything."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "streamer.yaml").write_text(CONFIGURATION)
    answer = CliRunner().invoke(app, ["reconcile", "Account", "--since", "2h", "-c", "streamer.yaml"])
    assert answer.exit_code == 1
    assert "run this command where the daemon runs" in answer.stderr
