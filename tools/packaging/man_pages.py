"""Writes the manual pages: `python -m tools.packaging.man_pages`.

`packaging/man/` holds `streamer.1`, and a page for each command or group of
commands. They are generated from the commands' help, as `docs/commands.md` is.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from pathlib import Path

from streamer.cli import app
from streamer.cli.lazy import COMMANDS
from tools.command_reference import Command, Parameter, commands

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "packaging" / "man"

_OVERVIEW = """\
Streamer is a daemon. It reads a Salesforce org's events, keeps them in a log (Kafka, or SQLite), and
delivers each event to the subscribers of the configuration. `streamer run` starts the daemon. The other
commands check a configuration, ask a running daemon, or read and change the org."""
_EXITS = """\
0 means done, 1 needs an operator, and 2 means a mistake in the request. Ctrl-C ends a command with 130. The
page of a command describes more."""
_REQUIRED = "required"
_COLOUR = "If this variable is set, the output has no colours."
_SERVICE = "The configuration that the systemd unit `streamer.service` reads."


def pages() -> Mapping[str, str]:
    """Return the text of each page, by the name of its file."""
    by_page: dict[str, list[Command]] = {}
    for each in commands():
        by_page.setdefault(each.name.partition(" ")[0], []).append(each)
    made = {f"streamer-{name}.1": _page(name, each) for name, each in by_page.items()}
    return {"streamer.1": _overview(), **made}


def main() -> None:
    """Write the pages, and remove those of former commands."""
    made = pages()
    for stale in {each.name for each in FOLDER.glob("*.1")} - made.keys():
        (FOLDER / stale).unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def _overview() -> str:
    described = cleandoc(app.info.help or "")
    listed = [line for name, each in COMMANDS.items() for line in _item(f"streamer-{name}(1)", each.summary)]
    variables = [line for name, text in sorted(_variables().items()) for line in _item(name, text)]
    lines = [
        *_head("streamer", described),
        *(".SH SYNOPSIS", ".B streamer", r"\fICOMMAND\fR [\fIARGUMENT\fR]..."),
        *(".SH DESCRIPTION", *_text(_OVERVIEW)),
        *(".SH COMMANDS", *listed),
        *(".SH OPTIONS", *_item("--version", "Show the version and exit.")),
        *_item("--help, -h", "Show the commands and exit. Each command has this option too."),
        *_item("--install-completion", "Let your shell complete commands, options and values."),
        *(".SH EXIT STATUS", *_text(_EXITS)),
        *(".SH ENVIRONMENT", *variables, *_item("NO_COLOR", _COLOUR)),
        *(".SH FILES", *_item("/etc/streamer/streamer.yaml", _SERVICE)),
    ]
    return "\n".join(lines) + "\n"


def _variables() -> Mapping[str, str]:
    found = (each for command in commands() for each in command.parameters if each.environment)
    return {str(each.environment): each.purpose for each in found}


def _page(name: str, found: list[Command]) -> str:
    title = f"streamer-{name}"
    if found[0].name == name:
        lines = [*_head(title, COMMANDS[name].summary), ".SH SYNOPSIS", *_synopsis(found[0])]
        lines += [".SH DESCRIPTION", *_text(found[0].summary)]
        lines += [".SH OPTIONS", *_options(found[0])] if found[0].parameters else []
        lines += [".SH EXIT STATUS", *_text(found[0].exits)]
    else:
        synopsis = [line for each in found for line in (*_synopsis(each), ".br")][:-1]
        lines = [*_head(title, COMMANDS[name].summary), ".SH SYNOPSIS", *synopsis, ".SH COMMANDS"]
        lines += [line for each in found for line in _subcommand(each)]
    return "\n".join([*lines, ".SH SEE ALSO", r"\fBstreamer\fR(1)"]) + "\n"


def _subcommand(command: Command) -> Iterator[str]:
    yield f".SS streamer {command.name}"
    yield from _text(command.summary)
    yield from _options(command)
    yield ".PP"
    yield from _text(command.exits)


def _head(title: str, summary: str) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    header = f'.TH {title.upper()} 1 "" "Streamer {project["version"]}" "Streamer Manual"'
    written = ".\\\" Generated from the commands' help by tools/packaging/man_pages.py."
    # Without hyphenation and with a ragged right margin, a reader can copy options and paths.
    name = f"{_escaped(title)} \\- {_escaped(summary.rstrip('.'))}"
    return [written, header, ".nh", ".ad l", ".SH NAME", name]


def _synopsis(command: Command) -> list[str]:
    parts = [f"\\fBstreamer {_escaped(command.name)}\\fR [\\fIOPTION\\fR]..."]
    for each in command.parameters:
        if not each.name.startswith("-"):
            name = f"\\fI{_escaped(each.name.strip('[]'))}\\fR"
            parts.append(name if each.default == _REQUIRED else f"[{name}]")
    return [" ".join(parts)]


def _options(command: Command) -> Iterator[str]:
    for each in command.parameters:
        yield from _item(each.name, " ".join(_sentences(each)), takes=each.takes)


def _sentences(parameter: Parameter) -> Iterator[str]:
    yield parameter.purpose
    if parameter.default == _REQUIRED:
        yield "Required."
    elif parameter.default:
        yield f"Default: {parameter.default}."
    if parameter.environment:
        yield f"Environment: `{parameter.environment}`."


def _item(name: str, text: str, *, takes: str = "") -> list[str]:
    bold = f"\\fB{_escaped(name)}\\fR"
    return [".TP", f"{bold} \\fI{_escaped(takes)}\\fR" if takes else bold, *_text(text)]


def _text(paragraphs: str) -> list[str]:
    parts = [" ".join(each.split()) for each in re.split(r"\n\s*\n", paragraphs) if each.strip()]
    return [line for each in parts for line in (".PP", _marked(each))][1:]


def _marked(text: str) -> str:
    """Return a line of text, with bold text instead of backquotes."""
    pieces = re.split(r"`([^`]+)`", text)
    marked = (f"\\fB{_escaped(each)}\\fR" if at % 2 else _escaped(each) for at, each in enumerate(pieces))
    line = "".join(marked)
    # A line that begins with a dot or an apostrophe would be a request to the formatter.
    return f"\\&{line}" if line.startswith((".", "'")) else line


def _escaped(text: str) -> str:
    return text.replace("\\", r"\e").replace("-", r"\-")


if __name__ == "__main__":
    main()
