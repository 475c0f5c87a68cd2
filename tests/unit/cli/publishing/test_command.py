"""Refusals of `streamer publish` before it connects, and completions of the shell."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from streamer.cli import app
from streamer.cli.publishing.command import event_names

CONFIG = """\
org:
  login_url: https://acme.my.salesforce.com
  auth: {flow: client_credentials, client_id: app, client_secret: sesame}
channels: [/event/Order_Placed__e, {path: /event/Paid__e}, /data/ChangeEvents]
subscribers:
  payments: {uses: salesforce, on: "*", settings: {event: Refund__e}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write a configuration; only its org counts."""
    path = tmp_path / "streamer.yaml"
    path.write_text(CONFIG)
    return path


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("Order",), "streamer: EVENT: found 'Order'; must be the API name of a custom platform event"),
        (("Order__e", "nowhere.json"), "streamer: nowhere.json: can't be read: No such file or directory"),
        (("Order__e", "--skip", "-1"), "'--skip': must be at least 0"),
        (("Order__e", "--transport", "fax"), "'--transport': 'fax' is not one of 'pubsub', 'rest'"),
    ],
)
def test_mistake_is_named_before_anything_connects(
    config: Path, arguments: tuple[str, ...], reason: str
) -> None:
    """In a sentence, with status 2."""
    answer = CliRunner().invoke(app, ["publish", *arguments, "-c", str(config)])

    assert answer.exit_code == 2
    assert reason in " ".join(answer.output.replace("│", " ").split())


def test_missing_org_is_named(tmp_path: Path) -> None:
    """And mistakes of other sections don't count."""
    path = tmp_path / "streamer.yaml"
    path.write_text("org: {login_url: https://acme.my.salesforce.com}\nchannels: 5\n")
    answer = CliRunner().invoke(app, ["publish", "Order__e", "-c", str(path)])

    assert answer.exit_code == 2
    assert answer.stderr == f"streamer: {path}:1: org.auth: is missing\n"


def test_shell_completes_the_events_of_the_configuration(config: Path) -> None:
    """Without a connection; a configuration that can't be read completes nothing."""

    def completed(incomplete: str, path: Path = config) -> list[str]:
        context = cast("Any", SimpleNamespace(params={"config": [path]}))
        return event_names(context, incomplete)

    assert completed("") == ["Order_Placed__e", "Paid__e", "Refund__e"]
    assert completed("P") == ["Paid__e"]
    assert completed("", config.with_name("none.yaml")) == []
