"""The command `streamer sandbox`."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from streamer.cli.signals import until_signalled
from streamer.clock import SystemClock
from streamer.sandbox import Sandbox


def sandbox(
    port: Annotated[int, typer.Option(metavar="PORT", help="Port to listen on; 0 takes a free port.")] = 8808,
    host: Annotated[
        str,
        typer.Option(
            metavar="HOST", help="Address to listen on; anyone who can reach it controls the sandbox."
        ),
    ] = "localhost",
) -> None:
    """Run a local Salesforce org: OAuth, REST and CometD, with faults to inject under /sandbox/."""
    asyncio.run(until_signalled(lambda stopping: _serve(host, port, stopping)))


async def _serve(host: str, port: int, stopping: asyncio.Event) -> None:
    async with Sandbox(SystemClock(), host=host, port=port) as org:
        console = Console(highlight=False)
        console.print(f"The sandbox listens at {org.url}; Ctrl-C stops it.")
        console.print(
            "Log in with client credentials: client_id [bold]sandbox[/], "
            "client_secret [bold]sandbox-secret[/]."
        )
        await stopping.wait()
