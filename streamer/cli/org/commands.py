"""The commands `streamer org …`."""

import typer

from streamer.cli.help import HelpfulGroup
from streamer.cli.org.cdc import cdc
from streamer.cli.org.channels import channels

org = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Show and change which events the org sends, through Salesforce's Tooling API.

    Each change shows its plan first, and asks.
    """,
)
org.add_typer(cdc, name="cdc")
org.add_typer(channels, name="channels")
