"""The pages that people read, and the blocks of code in them."""

import re
import shlex
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from streamer.cli import app

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")]
)


def page(name: str) -> str:
    """Return the text of the page `name`, a path from the root of the project."""
    return (ROOT / name).read_text()


def block(text: str, language: str) -> str:
    """Return the one block in `language` of `text`, without its indentation."""
    (found,) = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, flags=re.DOTALL | re.MULTILINE)
    indent, lines = found
    return "".join(line.removeprefix(indent) for line in lines.splitlines(keepends=True))


def commands(text: str) -> list[str]:
    """Return the lines of `text` that begin with a prompt and call `streamer`."""
    return re.findall(r"^ *\$ ((?:[\w/-]+ )*streamer .*)$", text, flags=re.MULTILINE)


def parse(line: str) -> None:
    """Parse a command as the command line does; raises what that raises for a mistake."""
    command: Any = typer.main.get_command(app)
    words = shlex.split(line.partition(" > ")[0], comments=True)
    words = words[words.index("streamer", words.index("--") if "--" in words else 0) + 1 :]
    while isinstance(command, TyperGroup) and not words[0].startswith("-"):
        name = words.pop(0)
        command = command.get_command(command.make_context(name, [], resilient_parsing=True), name)
    command.make_context("streamer", words, resilient_parsing=words == ["--help"])
