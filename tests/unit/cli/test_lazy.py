"""The table of commands matches the commands' own help."""

import pytest
import typer
from typer.main import get_command

from streamer.cli import app
from streamer.cli.lazy import COMMANDS

LONGEST = 200


@pytest.mark.parametrize("name", COMMANDS)
def test_summary_is_that_of_the_command(name: str) -> None:
    """The first page shows it without importing the command."""
    group = get_command(app)
    found = group.get_command(typer.Context(group), name)  # type: ignore[attr-defined] # it is a group

    assert found.get_short_help_str(LONGEST).replace("`", "") == COMMANDS[name].summary
