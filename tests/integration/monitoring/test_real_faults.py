"""Each alert fires during its fault, and clears after the steps of its runbook, with real parts."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.integration.monitoring import many_faults, one_by_one, shared_channels, turned_faults
from tests.integration.monitoring.scraped import Lived, expressions, live
from tests.integration.monitoring.stretching import RULES, Look, Phase, check
from tools.monitoring.metrics_reference import Values, declared, values

_POSITIONS = ("streamer_checkpoint_", "streamer_build_info", "up")
_DAYS_MINUTES = 52 * 60


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """A daemon that has lived through many faults at the same time."""
    return asyncio.run(live(tmp_path_factory.mktemp("many")))


def test_faults_of_subscribers_channels_and_configuration(lived: Lived, tmp_path: Path) -> None:
    """Sixteen at the same time, each with its alert and no other one."""
    assert check(lived.daemon, tmp_path) == ""


def test_position_of_a_channel_that_is_not_read_for_days(lived: Lived, tmp_path: Path) -> None:
    """The position of the refused channel stands still, and those of the others move on."""
    before, faults, after = [_of_positions(phase) for phase in lived.daemon]
    faults = replace(
        faults,
        alerts=["StreamerCheckpointExpires"],
        minutes=_DAYS_MINUTES,
        stands="streamer_checkpoint_",
    )
    assert check([before, faults, after], tmp_path, every_minutes=4) == ""


def _of_positions(phase: Phase) -> Phase:
    return replace(phase, began=_some(phase.began), ended=_some(phase.ended), minutes=60)


def _some(look: Look) -> Look:
    values = {each: value for each, value in look.values.items() if each[0].startswith(_POSITIONS)}
    return Look(at=look.at, values=values)


async def test_process_that_ends_or_can_t_use_its_log_or_its_org(tmp_path: Path) -> None:
    """One fault after the other, each mended before the next."""
    async with one_by_one.opened(tmp_path) as world:
        phases = await one_by_one.phases(world)

    assert check(phases, tmp_path) == ""


async def test_channels_that_no_process_of_a_group_owns(kafka: str, tmp_path: Path) -> None:
    """A stranger holds the partition; outbound messages find nobody."""
    assert check(await shared_channels.phases(kafka, tmp_path), tmp_path) == ""


async def test_salesforce_that_leaves_connections_unanswered(tmp_path: Path) -> None:
    """Two in a row, as a firewall does it that forgets them."""
    assert check(await turned_faults.silent_salesforce(), tmp_path) == ""


async def test_log_that_differs_and_comparisons_that_are_refused(tmp_path: Path) -> None:
    """Some hours each."""
    assert check(await turned_faults.comparisons(), tmp_path) == ""


async def test_record_states_that_are_behind(tmp_path: Path) -> None:
    """An hour without the log."""
    assert check(await turned_faults.states(), tmp_path) == ""


async def test_schema_registry_that_is_away(tmp_path: Path) -> None:
    """An hour without an answer to any request."""
    assert check(await turned_faults.schemas(), tmp_path) == ""


def test_limits_of_the_org_that_are_used_up_or_not_read(lived: Lived, tmp_path: Path) -> None:
    """An hour of another client, and hours without an answer."""
    assert check(lived.limits, tmp_path) == ""


@pytest.mark.parametrize("expression", [*expressions()])
def test_panel_and_recording_rule_have_data(lived: Lived, expression: str) -> None:
    """A real Prometheus that has scraped the daemon answers each of them."""
    assert lived.values[expression] > 0


def test_labels_have_the_values_that_the_catalogue_tells(lived: Lived) -> None:
    """All that were seen, of labels with a closed set."""
    seen = {each for phase in lived.daemon for each in phase.ended.values}
    wrong = [
        (name, label, value)
        for metric in declared()
        for name, labels in seen
        if name == metric.name
        for label, value in labels
        if label in metric.labels and not _can_be(values(metric, label), value)
    ]

    assert wrong == []


def _can_be(bound: Values, value: str) -> bool:
    return bool(bound.source) or value in bound.closed


def test_every_alert_is_proved_here() -> None:
    """None was forgotten."""
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    alerts = {rule["alert"] for rule in rules if "alert" in rule}

    proved = many_faults.ALERTS | one_by_one.ALERTS | turned_faults.ALERTS | shared_channels.ALERTS
    assert alerts == proved | {"StreamerCheckpointExpires"}
