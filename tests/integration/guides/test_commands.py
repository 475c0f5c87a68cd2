"""docs/commands.md matches the help of the commands."""

import pytest

from tools.command_reference import PAGE, Command, commands, page


def test_page_is_up_to_date() -> None:
    """`make reference` writes it again."""
    assert page() == PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", commands(), ids=lambda each: each.name)
def test_every_option_has_a_purpose(command: Command) -> None:
    """And every command a sentence, and an exit status that a script can rely on."""
    assert command.summary
    assert "Exits 0" in command.exits or "0 after" in command.exits
    assert all(each.help for each in command.made.params)
