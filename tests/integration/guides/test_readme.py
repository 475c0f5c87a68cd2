"""The README's configuration and commands work as they stand there."""

import re
from pathlib import Path

import pytest

from streamer import DISTRIBUTION
from streamer.app import plan
from streamer.clock import SystemClock
from streamer.configuration import load_document
from tests.integration.guides.pages import PAGES, block, page

README = page("README.md")
SECRETS = {
    "SF_CLIENT_ID": "id",
    "SF_CLIENT_SECRET": "secret",
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/x",
}


def test_configuration_is_whole_and_valid(tmp_path: Path) -> None:
    """It passes the check as a newcomer would copy it."""
    path = tmp_path / "streamer.yaml"
    path.write_text(block(README, "yaml"))

    assert list(plan(load_document([path], SECRETS), SystemClock()).settings.subscribers) == ["sales-channel"]


@pytest.mark.parametrize("target", re.findall(r"^\$ make ([a-z]+)", README, flags=re.MULTILINE))
def test_every_make_target_exists(target: str) -> None:
    """The Makefile has every target that the README names."""
    assert re.search(rf"^{target}:", page("Makefile"), flags=re.MULTILINE)


def test_distribution_is_installed_by_its_own_name() -> None:
    """On PyPI, the name of the command belongs to another project."""
    named = re.findall(r"pip\s+install\s+(streamer[\w-]*)", "".join(each.read_text() for each in PAGES))

    assert set(named) == {DISTRIBUTION}
