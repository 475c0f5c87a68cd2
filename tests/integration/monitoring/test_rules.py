"""The rules of Prometheus are right by promtool, and each alert has its runbook."""

import re
import shlex
from math import inf
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.guides.pages import ROOT, page
from tests.integration.monitoring.stretching import RULES
from tests.integration.snippets.shell import parse
from tools.monitoring.metrics_reference import declared
from tools.monitoring.prometheus import promtool

UNITS = Path(__file__).with_name("alerts.test.yaml")
OUTAGES = UNITS.with_name("outages.test.yaml")
PARTS = ("Means.", "What users see.", "Confirm.", "Fix.", "Over when")
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALERTS: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
NAMES = [rule["alert"] for rule in ALERTS]
RUNBOOK = page("docs/alerts.md")


@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", str(RULES)),
        ("check", "config", str(RULES.with_name("prometheus.yml"))),
        ("test", "rules", str(UNITS)),
        ("test", "rules", str(OUTAGES)),
    ],
    ids=" ".join,
)
def test_promtool_finds_no_mistake(words: tuple[str, ...]) -> None:
    """In the rules, in the example's configuration, and in what fires when."""
    ran = promtool(*words)

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_has_a_unit_test() -> None:
    """Silent before its fault, firing during it, and silent again at the end."""
    tests = [
        (each["name"].partition(":")[0], each["promql_expr_test"])
        for each in yaml.safe_load(UNITS.read_text())["tests"]
    ]

    assert {name for name, _ in tests} == set(NAMES)
    for name, cases in tests:
        fired = [[sample["labels"] for sample in case["exp_samples"]] for case in cases]
        assert (fired[0], fired[-1]) == ([], [])
        assert [f'{{alertname="{name}"}}'] in fired


@pytest.mark.parametrize("units", [UNITS, OUTAGES], ids=lambda path: path.name)
def test_missed_scrapes_delay_no_alert_and_end_none(tmp_path: Path, units: Path) -> None:
    """Each fourth scrape fails, as on a starved machine. The same alerts fire at the same minutes."""
    document = yaml.safe_load(units.read_text())
    for each in document["tests"]:
        for series in each["input_series"]:
            # Prometheus writes `up` itself, and does so for a scrape that fails too.
            if not series["series"].startswith("up{"):
                series["values"] = _with_missed_scrapes(series["values"])
    document["rule_files"] = [str(RULES)]
    starved = tmp_path / "starved.test.yaml"
    starved.write_text(yaml.safe_dump(document))

    ran = promtool("test", "rules", str(starved))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _with_missed_scrapes(values: str) -> str:
    """Return promtool's series with `stale`, Prometheus's mark of a failed scrape, in each fourth place."""
    samples = [sample for part in values.split() for sample in _expanded(part)]
    return " ".join("stale" if place % 4 == 3 and text != "_" else text for place, text in enumerate(samples))


def _expanded(part: str) -> list[str]:
    """Return the samples of one of promtool's shorthands: `1`, `stale`, `_x3`, `1+2x3`."""
    if found := re.fullmatch(r"(?P<text>_|stale)(x(?P<times>[0-9]+))?", part):
        return [found["text"]] * int(found["times"] or 1)
    found = re.fullmatch(r"(?P<first>Inf|[0-9]+)(\+(?P<step>[0-9]+)x(?P<times>[0-9]+))?", part)
    assert found, part
    first, step, times = float(found["first"]), int(found["step"] or 0), int(found["times"] or 0)
    return ["Inf" if first == inf else f"{first + step * number:.0f}" for number in range(times + 1)]


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_alert_has_a_runbook(rule: dict[str, Any]) -> None:
    """With all its parts, and the severity in the table."""
    name, severity = rule["alert"], rule["labels"]["severity"]
    section = RUNBOOK.partition(f"\n## {name}\n")[2].partition("\n## ")[0]

    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/alerts.md#{name.lower()}"
    assert [part for part in PARTS if f"**{part}**" not in section] == []
    assert f"| [{name}](#{name.lower()}) | {severity} | " in RUNBOOK


def test_runbook_tells_of_no_other_alerts() -> None:
    """In the order of the rules."""
    assert re.findall(r"^## (Streamer\w+)$", RUNBOOK, flags=re.MULTILINE) == NAMES


@pytest.mark.parametrize(
    "line", dict.fromkeys(" ".join(each.split()) for each in re.findall(r"`(streamer [^`]+)`", RUNBOOK))
)
def test_command_of_the_runbook_exists(line: str) -> None:
    """With its options."""
    parse(shlex.split(line)[1:])


@pytest.mark.parametrize(
    "path",
    [RULES, ROOT / "config" / "grafana" / "dashboard.json", ROOT / "docs" / "alerts.md"],
    ids=lambda each: each.name,
)
def test_metrics_that_are_named_exist(path: Path) -> None:
    """A renamed metric would leave an alert that never fires."""
    suffixes = ("", "_bucket", "_sum", "_count")
    known = {f"{each.name}{suffix}" for each in declared() for suffix in suffixes}
    # Those behind a colon are recorded.
    named = set(re.findall(r"(?<!:)\bstreamer_\w+", path.read_text()))

    assert named - known == set()


def test_recorded_series_that_are_named_exist() -> None:
    """In the runbook."""
    recorded = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}

    assert set(re.findall(r"\w+:streamer_\w+:\w+", RUNBOOK)) <= recorded
