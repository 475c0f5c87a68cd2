"""Commands that are imported when they are called."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from streamer.cli.help import HelpfulCommand, HelpfulGroup

COMMANDS = {
    "run": "streamer.cli.run:run",
    "check": "streamer.cli.run:check",
    "doctor": "streamer.cli.doctor:doctor",
    "explain": "streamer.cli.routing.explain:explain",
    "render": "streamer.cli.routing.render:render",
    "schema": "streamer.cli.schema:schema",
    "asyncapi": "streamer.cli.asyncapi:asyncapi",
    "flow": "streamer.cli.flow.command:flow",
    "publish": "streamer.cli.publishing.command:publish",
    "sandbox": "streamer.cli.sandbox:sandbox",
    "demo": "streamer.cli.demo:demo",
    "subscribers": "streamer.cli.operating.subscribers:subscribers",
    "deadletters": "streamer.cli.operating.deadletters:deadletters",
    "parked": "streamer.cli.operating.parked:parked",
    "checkpoint": "streamer.cli.checkpoints.commands:checkpoint",
    "continuity": "streamer.cli.operating.continuity:continuity",
    "reconcile": "streamer.cli.operating.reconcile:reconcile",
    "snapshot": "streamer.cli.operating.snapshots:snapshot",
    "audit": "streamer.cli.operating.audit:audit",
    "events": "streamer.cli.events.command:events",
    "tail": "streamer.cli.events.tail:tail",
    "support-bundle": "streamer.cli.operating.support_bundle:support_bundle",
    "org": "streamer.cli.org.commands:org",
}
"""Module and attribute of each command."""


class LazyGroup(HelpfulGroup):
    """Group of the commands in `COMMANDS`.

    A call to a running daemon, or a completion for the shell, must not wait
    until the daemon, the sandbox and the demo are imported.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # For the suggestions after a mistyped name.
        self.commands.update(dict.fromkeys(COMMANDS))  # type: ignore[arg-type] # names alone

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's signature
        """Return the command of that name, or `None`."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        return _made(cmd_name, getattr(import_module(module), attribute))


def _made(name: str, found: typer.Typer | Callable[..., None]) -> TyperGroup | TyperCommand:
    if isinstance(found, typer.Typer):
        group = get_group(found)
        group.name = name
        return group
    alone = typer.Typer(
        add_completion=False, rich_markup_mode="markdown", pretty_exceptions_show_locals=False
    )
    alone.command(name, cls=HelpfulCommand)(found)
    command = get_command(alone)
    assert isinstance(command, TyperCommand)  # noqa: S101 - it is the only one
    return command
