"""Command line. Each group of commands has a file; the logic lives in other packages."""

from typing import Annotated

import typer

from streamer import DISTRIBUTION
from streamer.cli.lazy import HELP_OPTIONS, LazyGroup

app = typer.Typer(
    name="streamer",
    cls=LazyGroup,
    context_settings=HELP_OPTIONS,
    help="Carries a Salesforce org's events to Kafka and to the systems that act on them.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)


def _say_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - only this option needs what it imports

        typer.echo(f"streamer {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Declare the options that work without a command."""


__all__ = ["app"]
