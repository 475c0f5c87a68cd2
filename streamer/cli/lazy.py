"""Groups of commands; a command is imported when it is called, and help pages show no Python types."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup
from typer.main import get_command, get_group

from streamer.later import without_extras

_Parameter = TypeVar("_Parameter")

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
"""Context settings of the outermost command; all other commands inherit them."""


class HelpfulCommand(TyperCommand):
    """Command whose help page shows no type for a switch, and whose errors read like configuration errors."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, including `--help`."""
        return _shown(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; raises `typer.BadParameter` for a value that an option does not accept."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = _reason(error)
            raise


class HelpfulGroup(TyperGroup):
    """Group of commands whose help page shows no type for a switch."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, including `--help`."""
        return _shown(super().get_params(ctx))


def _shown(parameters: Iterable[_Parameter]) -> list[_Parameter]:
    shown = list(parameters)
    for each in shown:
        if getattr(each, "is_flag", False) and getattr(each, "metavar", None) is None:
            each.metavar = ""  # type: ignore[attr-defined] # of every option
        if isinstance(each, TyperArgument):
            # An argument's name already says what the argument takes.
            each.display_type_rich = _nothing  # type: ignore[method-assign] # of this one alone
    return shown


def _reason(error: typer.BadParameter) -> str:
    # Only an error message needs these imports, and they are slow: other calls must not
    # wait for them.
    from pydantic import ValidationError  # noqa: PLC0415 - see above

    from streamer.validation import mistakes  # noqa: PLC0415 - see above

    if not isinstance(error.__cause__, ValidationError):
        return error.message
    return "; ".join(mistakes(error.__cause__))


def _nothing(ctx: Any) -> str:  # noqa: ARG001 - typer's signature
    return ""


class Listed(NamedTuple):
    """Entry of a command on the first help page: where to import the command, and its summary."""

    place: str
    summary: str


COMMANDS = {
    "run": Listed(
        "streamer.cli.run:run",
        "Run the daemon: carry events until SIGTERM or Ctrl-C, then finish open deliveries and exit.",
    ),
    "check": Listed(
        "streamer.cli.check:check",
        "Check a configuration and all its expressions, without connecting to anything.",
    ),
    "doctor": Listed(
        "streamer.cli.doctor:doctor",
        "Check the configuration, the org, the log and the targets, and say how to fix each fault.",
    ),
    "explain": Listed(
        "streamer.cli.routing.render:explain",
        "Show which subscribers get an event, and why the other subscribers do not get it.",
    ),
    "render": Listed(
        "streamer.cli.routing.render:render",
        "Print the request that a subscriber would send for an event, with headers; *** hides secrets.",
    ),
    "test": Listed(
        "streamer.cli.routing.route_tests:run_tests",
        "Run the tests of the configuration: compare the deliveries of events with the expected deliveries.",
    ),
    "schema": Listed(
        "streamer.cli.schema:schema",
        "Print the JSON Schema of the configuration, or of the records that consumers read.",
    ),
    "asyncapi": Listed(
        "streamer.cli.schema:asyncapi",
        "Print an AsyncAPI 3.0 document that describes all Kafka topics, with keys, headers and schemas.",
    ),
    "flow": Listed(
        "streamer.cli.flow:flow",
        "Draw which events each subscriber gets, and which subscribers it waits for.",
    ),
    "publish": Listed(
        "streamer.cli.publishing.command:publish",
        "Publish platform events to the configured org, in the order of the input.",
    ),
    "sandbox": Listed(
        "streamer.cli.sandbox:sandbox",
        "Run a local Salesforce org: OAuth, REST, CometD and Pub/Sub, with faults to inject under /sandbox/.",
    ),
    "demo": Listed(
        "streamer.cli.demo.command:demo",
        "Show the whole flow on this machine: a local org, the daemon and its targets.",
    ),
    "problems": Listed(
        "streamer.cli.operating.problems:problems",
        "Show what needs a person now, the newest first: one entry for each cause, with its remedy.",
    ),
    "subscribers": Listed(
        "streamer.cli.operating.subscribers:subscribers",
        "List, pause, resume, probe and test the subscribers of a running daemon.",
    ),
    "deadletters": Listed(
        "streamer.cli.operating.deadletters:deadletters",
        "List, redrive and discard dead letters: events that could not be read or delivered.",
    ),
    "parked": Listed(
        "streamer.cli.operating.subscribers:parked",
        "List parked keys: keys whose events wait in the log because the first event keeps failing.",
    ),
    "checkpoint": Listed(
        "streamer.cli.checkpoints:checkpoint",
        "List the channels' positions, and move a channel to another position.",
    ),
    "continuity": Listed(
        "streamer.cli.operating.continuity:continuity",
        "List continuity records: events that were missing, and whether Streamer repaired the hole.",
    ),
    "reconcile": Listed(
        "streamer.cli.operating.reconcile:reconcile",
        "Compare the org's changes with the events in the log, and show the differences.",
    ),
    "snapshot": Listed(
        "streamer.cli.operating.snapshots:snapshot",
        "Publish the current state of all records of an object, in the object's channel.",
    ),
    "audit": Listed(
        "streamer.cli.operating.audit:audit",
        "Show the changes that operators made while Streamer ran, such as pauses, redrives and discards.",
    ),
    "events": Listed(
        "streamer.cli.events:events",
        "Find events in the log, and show the outcome of an event at every subscriber.",
    ),
    "state": Listed(
        "streamer.cli.state:state",
        "Show records as the log knows them: with all fields, after their last change.",
    ),
    "tail": Listed(
        "streamer.cli.tail:tail",
        "Show new events as they are appended to the log, until Ctrl-C.",
    ),
    "support-bundle": Listed(
        "streamer.cli.operating.support_bundle:support_bundle",
        "Collect diagnostics for support in one archive, without secrets and without events.",
    ),
    "org": Listed(
        "streamer.cli.org.commands:org",
        "Show and choose the events that the org sends, through Salesforce's Tooling API.",
    ),
}
"""Commands by name, in the order of the help page."""


class LazyGroup(HelpfulGroup):
    """Group of the commands in `COMMANDS`; a command is imported when it is called.

    So a call to a running daemon, the help page, or the shell's completion does not
    wait for the import of the daemon, the sandbox and the demo.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._is_listing = False
        # Typer suggests similar names after a mistyped name.
        self.commands.update(dict.fromkeys(COMMANDS))  # type: ignore[arg-type] # names alone

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's signature
        """Return the command named `cmd_name`, or `None`."""
        if cmd_name not in COMMANDS:
            return None
        if self._is_listing:
            return TyperCommand(cmd_name, callback=None, help=COMMANDS[cmd_name].summary)
        module, _, attribute = COMMANDS[cmd_name].place.partition(":")
        # The daemon prints no tables.
        with without_extras() if cmd_name == "run" else nullcontext():
            command = getattr(import_module(module), attribute)
        return _made(cmd_name, command)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page as plain text, because the import of rich would take most of the time."""
        markup, self.rich_markup_mode = self.rich_markup_mode, None
        super().format_help(ctx, formatter)
        self.rich_markup_mode = markup

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - click's signature
        """Write the summaries of the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.summary) for name, each in COMMANDS.items()])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return the commands and options that begin with `incomplete`."""
        self._is_listing = True
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self._is_listing = False


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
