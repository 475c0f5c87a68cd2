"""Writes the page about all commands: `python -m tools.command_reference`.

`docs/commands.md` is generated from the commands' help, and from the members that
they print with `--json`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Any

from typer.main import get_command

from streamer.cli import app

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "commands.md"

_INTRODUCTION = Path(__file__).with_suffix(".md")
_EXITS = re.compile(r"\bExits [012]\b(?:[^\n]|\n(?!\n))*")
_DEFAULT = re.compile(r"\s*\[default: (.*?)\]", re.DOTALL)
_USUAL = "Exits 0 on success, 2 for a mistake in the arguments."
_PLANNED = "changes", "already"
_SNAPSHOT = (
    *("id", "channel", "entity", "where", "fields", "since", "state", "waits", "by", "at"),
    *("found", "published", "begun_at", "updated_at", "detail"),
)
_POSITION = "id", "channel", "place", "replay_id", "since", "repeat", "by", "at", "effect", "outcome"

_SUBSCRIBER = "name", "uses", "on", "after", "state", "switch", "by", "reason", "since", "here", "total"
JSON_SHAPES: Mapping[str, tuple[str, ...]] = {
    "check": ("good", "mistakes", "warnings", "channels", "log", "subscribers"),
    "explain": ("events",),
    "render": ("events",),
    "test": ("tests",),
    "flow": ("arrows", "subscribers"),
    "asyncapi": ("asyncapi", "info", "defaultContentType", "servers", "channels", "operations", "components"),
    "doctor": ("findings", "counts", "configuration_is_sound"),
    "events find": ("events", "scanned", "is_whole", "reached", "cursor"),
    "events show": ("event", "log", "said", "set_aside_by_ingest", "timeline", "subscribers", "not_kept"),
    "problems": ("problems", "missing"),
    "subscribers list": ("subscribers", "missing"),
    "subscribers pause": (*_SUBSCRIBER, "was_paused"),
    "subscribers resume": _SUBSCRIBER,
    "subscribers probe": (*_SUBSCRIBER, "was_held"),
    "subscribers test": ("subscriber", "event", "outcome", "answer", "seconds"),
    "deadletters list": ("total", "by_reason", "by_subscriber", "letters"),
    "deadletters show": (
        *("id", "subscriber", "stage", "event_id", "type", "key", "reason", "error", "attempts"),
        *("failed_at", "hint", "first_error", "first_failed_at", "answer", "failed_attempts"),
        *("channel", "replay_id"),
        *("schema_id", "event_uuid", "topic", "partition", "offset", "whole_size", "whole_sha256"),
        *("raw", "event"),
    ),
    "deadletters redrive": (
        *("until", "dry_run", "subscribers", "matching", "deliverable", "superseded", "by_reason"),
        "redrives",
    ),
    "deadletters cancel": (
        *("id", "subscriber", "channel", "by", "ordered_at", "from", "at", "cancelled_by", "left"),
        "superseded",
    ),
    "deadletters discard": ("total", "by_reason", "by_subscriber", "until", "dry_run"),
    "parked list": ("total", "by_subscriber", "not_here", "parked", "missing"),
    "checkpoint list": ("checkpoints",),
    "checkpoint set": _POSITION,
    "checkpoint reset": _POSITION,
    "checkpoint cancel": ("cancelled",),
    "continuity list": ("records",),
    "continuity acknowledge": (
        *("id", "channel", "org", "cause", "state", "entity", "detail", "waits", "after", "from", "until"),
        *("found", "published", "recorded_at", "updated_at", "acknowledged"),
    ),
    "reconcile": (
        *("entity", "channel", "stamp", "since", "until", "records", "deletions", "counts", "drift"),
        *("notes", "repair"),
    ),
    "snapshot start": _SNAPSHOT,
    "snapshot list": ("snapshots",),
    "snapshot pause": _SNAPSHOT,
    "snapshot resume": _SNAPSHOT,
    "snapshot cancel": _SNAPSHOT,
    "snapshot watch": _SNAPSHOT,
    "audit": ("records",),
    "state get": (
        *("entity", "record_id", "is_deleted", "fields", "omitted", "changed_at", "read_at"),
        *("event_id", "commit_number", "sequence"),
    ),
    "org cdc list": ("selected", "entities", "allowed_without_add_on"),
    "org cdc enable": _PLANNED,
    "org cdc disable": _PLANNED,
    "org channels list": ("channels",),
    "org channels create": _PLANNED,
    "org channels add": _PLANNED,
    "org channels remove": _PLANNED,
    "org channels delete": _PLANNED,
}
"""Members of the object that a command prints with `--json`, by command."""

LINES = {
    "publish": ("line", "id", "outcome", "event_uuid", "replay_id", "code", "reason"),
    "tail": (
        *("specversion", "id", "source", "type", "time", "sfchannel", "sfreplayid", "subject"),
        *("datacontenttype", "data", "key", "channel", "replay_id"),
    ),
}
"""Members of the objects in lines that a command prints with `--json`, by command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One argument or option: how it is written, its purpose, and its default, which can be empty."""

    name: str
    takes: str
    purpose: str
    default: str
    environment: str | None

    @classmethod
    def of(cls, made: Any) -> "Parameter":
        """Read a parameter of a click command."""
        if made.param_type_name == "argument":
            name, takes = made.metavar or made.name.upper(), ""
        else:
            name = ", ".join([*made.opts, *made.secondary_opts])
            takes = made.metavar or ("" if made.is_flag else made.type.name.upper())
        text = " ".join((made.help or "").split())
        told = _DEFAULT.search(text)
        value = None if callable(made.default) or made.default is False else made.default
        default = told[1] if told else "required" if made.required else str(value or "")
        return cls(
            name=name,
            takes=takes,
            purpose=_DEFAULT.sub("", text),
            default=default,
            environment=getattr(made, "envvar", None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command: its `name` without `streamer`, its click command, and the help of its group."""

    name: str
    made: Any
    group: str = ""

    @property
    def has_json(self) -> bool:
        """True if the command has the option `--json`."""
        return any("--json" in each.opts for each in self.made.params)

    @property
    def parameters(self) -> list[Parameter]:
        """Arguments and options without `--help`."""
        return [Parameter.of(each) for each in self.made.params if "--help" not in each.opts]

    @property
    def exits(self) -> str:
        """Sentences about the exit status, from the command's help and from its group's help."""
        own, usual = (_EXITS.search(cleandoc(each)) for each in (self.made.help or "", self.group))
        told = [each[0] for each in (usual, own) if each]
        if own and "0" in own[0] and "2" in own[0]:
            told = [own[0]]
        return " ".join(" ".join(told).split()) or _USUAL

    @property
    def summary(self) -> str:
        """Help of the command without the sentences about the exit status."""
        return _EXITS.sub("", cleandoc(self.made.help or "")).strip()


def commands() -> list[Command]:
    """Return all commands, in the order of the help."""
    return list(_below(get_command(app), "", ""))


def page() -> str:
    """Return the page."""
    found = commands()
    parts = [_INTRODUCTION.read_text(encoding="utf-8").rstrip(), _exit_table(found)]
    parts += [_section(each) for each in found]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def _below(made: Any, name: str, group: str) -> Iterator[Command]:
    if not hasattr(made, "list_commands"):
        yield Command(name=name, made=made, group=group)
        return
    for each in made.list_commands(None):
        inner = made.get_command(None, each)
        yield from _below(inner, f"{name} {each}".strip(), made.help or group)


def _exit_table(found: list[Command]) -> str:
    by_exits: dict[str, list[str]] = {}
    for each in found:
        link = f"[{each.name}](#streamer-{each.name.replace(' ', '-')})"
        by_exits.setdefault(each.exits.replace("Exits ", "").replace(". ", "; "), []).append(link)
    rows = [f"| {', '.join(names)} | {exits} |" for exits, names in by_exits.items()]
    return "\n".join(["## Exit status", "", _BEFORE, "", "| command | exits |", "|---|---|", *rows])


_BEFORE = """\
For scripts: 0 means done, 1 needs an operator, and 2 means a mistake in the request. The answer "no" to a
question gives 1. Ctrl-C ends a command with 130, unless the command's line has another status."""


def _section(command: Command) -> str:
    parts = [f"## streamer {command.name}", command.summary]
    rows = [_row(each) for each in command.parameters]
    if rows:
        parts.append("\n".join(["| argument or option | purpose | default |", "|---|---|---|", *rows]))
    if command.name in LINES:
        members = _listed(LINES[command.name])
        parts.append(f"With `--json`, one object per line, with some of the members {members}.")
    elif command.has_json:
        parts.append(f"With `--json`, an object with {_listed(JSON_SHAPES[command.name])}.")
    parts.append(command.exits)
    return "\n\n".join(parts)


def _listed(members: tuple[str, ...]) -> str:
    return ", ".join(f"`{each}`" for each in members)


def _row(parameter: Parameter) -> str:
    name = f"{parameter.name} {parameter.takes}".strip()
    text = parameter.purpose
    if parameter.environment:
        text += f" Environment: `{parameter.environment}`."
    return "| " + " | ".join(_cell(each) for each in (f"`{name}`", text, parameter.default)) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
