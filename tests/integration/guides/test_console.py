"""docs/console.md shows the pages, the charts and the settings of the console as they are."""

import re

import pytest
import yaml

from streamer.console.navigation import SECTIONS
from streamer.console.samples import Series
from streamer.settings import AdminSettings
from tests.integration.guides.pages import page

GUIDE = page("docs/console.md")


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL))
def test_settings_are_valid(block: str) -> None:
    """Every block of configuration in the guide can be copied."""
    shown = {"token": "token"} | yaml.safe_load(block)["admin"]
    secrets = {name: f"{name} of a person" for name in ("token", "reader_token") if name in shown}
    AdminSettings.model_validate(shown | secrets)


def test_every_page_is_in_the_guide() -> None:
    """In its section, and in the order of the navigation."""
    table = GUIDE.partition("## The pages")[2].partition("## The charts")[0]
    named = re.findall(r"^\| ([A-Z][a-z]+) \| ([A-Z][a-z ]+) \|", table, flags=re.MULTILINE)

    assert named == [(section.name, each.name) for section in SECTIONS for each in section.pages]


def test_charts_name_their_metrics() -> None:
    """An operator finds the same numbers in Prometheus."""
    named = set(re.findall(r"`((?:streamer|process)_\w+)`", GUIDE))

    assert named == {re.sub("_seconds_(sum|count)$", "_seconds", series) for series in Series}


def test_session_lasts_as_long_as_the_guide_says() -> None:
    """By default."""
    hours = re.search(r"`admin\.console\.session_s` \((\d+) h\)", GUIDE)

    assert hours
    assert AdminSettings().console.session_s == int(hours[1]) * 3_600
