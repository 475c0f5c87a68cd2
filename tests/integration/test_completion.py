"""The shell completes values: from the configuration where it is given, and otherwise from the daemon."""

import asyncio
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from streamer.cli import app
from streamer.cli.operating.api_command import channel_paths, letter_ids, snapshot_ids, subscriber_names
from tests.integration.test_json_output import CONFIGURATION, LETTER, served
from tests.unit.admin.test_snapshots import ORDER
from tests.unit.dispatch.world import TARGET


def context(**given: object) -> typer.Context:
    """Return the context of a command line on which these options stand."""
    made = typer.Context(get_command(app))
    made.params = given
    return made


async def test_values_come_from_the_daemon() -> None:
    """Those that begin with what is typed."""
    async with served() as (url, ids):
        letter = ids[LETTER]
        asking = context(url=url)
        found = {
            complete: (
                await asyncio.to_thread(complete, asking, typed),
                await asyncio.to_thread(complete, asking, "zzz"),
            )
            for complete, typed in {
                subscriber_names: TARGET[:2],
                channel_paths: "/data",
                letter_ids: letter[:1],
                snapshot_ids: "snapshot:",
            }.items()
        }

    assert found == {
        subscriber_names: ([TARGET], []),
        channel_paths: (["/data/ChangeEvents"], []),
        letter_ids: ([letter], []),
        snapshot_ids: ([ORDER.id], []),
    }


def test_channels_come_from_the_configuration(tmp_path: Path) -> None:
    """No daemon is needed for that."""
    path = tmp_path / "streamer.yaml"
    path.write_text(CONFIGURATION)

    assert channel_paths(context(config=[path]), "/d") == ["/data/ChangeEvents"]
    assert channel_paths(context(config=[path]), "/e") == []


@pytest.mark.parametrize("complete", [subscriber_names, channel_paths, letter_ids, snapshot_ids])
def test_nothing_is_offered_without_a_daemon(complete: object, tmp_path: Path) -> None:
    """And nothing is said: the shell would show it among the words."""
    assert callable(complete)
    assert complete(context(url="http://localhost:1"), "") == []
    assert complete(context(config=[tmp_path / "none.yaml"], url="http://localhost:1"), "") == []
