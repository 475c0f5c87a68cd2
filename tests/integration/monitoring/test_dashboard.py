"""Grafana's dashboard is up to date, fits Grafana's own types, and draws no panel over another."""

import json
import re
from itertools import combinations
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.monitoring.grafana import PAGE, files

# Keys of annotations that belong to the data source, and are in none of Grafana's types.
_OF_THE_DATASOURCE = ("titleFormat", "textFormat")


@pytest.fixture(scope="module")
def dashboard() -> Any:
    """The file as Grafana reads it."""
    return json.loads(PAGE.read_text())


def test_file_is_up_to_date() -> None:
    """`make reference` writes it again."""
    assert [path.name for path, text in files() if path.read_text(encoding="utf-8") != text] == []


def test_every_key_is_one_of_grafanas(dashboard: Any) -> None:
    """Grafana would drop or mistype a key that its types do not have."""
    register_default_plugins()
    read = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(dashboard)))

    assert [each for each in _lost(dashboard, read, "") if not each.endswith(_OF_THE_DATASOURCE)] == []


def _lost(wanted: Any, read: Any, path: str) -> list[str]:
    if isinstance(wanted, dict) and isinstance(read, dict):
        return [
            lost
            for key, value in wanted.items()
            for lost in (_lost(value, read[key], f"{path}.{key}") if key in read else [f"{path}.{key}"])
        ]
    if isinstance(wanted, list) and isinstance(read, list) and len(wanted) == len(read):
        pairs = enumerate(zip(wanted, read, strict=True))
        return [lost for number, (each, other) in pairs for lost in _lost(each, other, f"{path}[{number}]")]
    return [] if wanted == read else [path]


def test_panels_have_numbers_and_places_of_their_own(dashboard: Any) -> None:
    """None lies over another, and none beyond the 24 columns."""
    panels = dashboard["panels"]
    places = [panel["gridPos"] for panel in panels]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert [place for place in places if place["x"] + place["w"] > 24] == []
    assert [pair for pair in combinations(places, 2) if _overlap(*pair)] == []


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    def meet(start: str, size: str) -> bool:
        return one[start] < other[start] + other[size] and other[start] < one[start] + one[size]

    return meet("x", "w") and meet("y", "h")


def test_variables_of_expressions_are_defined(dashboard: Any) -> None:
    """`$job` and the others, and those that Grafana has by itself."""
    names = {each["name"] for each in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", PAGE.read_text()))

    assert used - names == {"__rate_interval", "__all"}


def test_every_panel_says_what_it_shows(dashboard: Any) -> None:
    """And asks the data source that is chosen."""
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]

    assert [panel["title"] for panel in panels if not panel["description"].endswith(".")] == []
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    assert len({panel["title"] for panel in panels}) == len(panels)
