"""The command `streamer sandbox`."""

import asyncio
from contextlib import AsyncExitStack
from typing import Annotated

import typer
from rich.console import Console

from streamer.cli.failure import failures_reported
from streamer.cli.signals import until_signalled
from streamer.clock import SystemClock
from streamer.errors import ConfigurationError
from streamer.sandbox import Sandbox
from streamer.web.listener import refused_address


def sandbox(
    port: Annotated[
        int, typer.Option(min=0, max=65_535, metavar="PORT", help="Port to listen on; 0 takes a free port.")
    ] = 8808,
    host: Annotated[
        str,
        typer.Option(
            metavar="HOST", help="Address to listen on; anyone who can reach it controls the sandbox."
        ),
    ] = "localhost",
) -> None:
    """Run a local Salesforce org: OAuth, REST and CometD, with faults to inject under /sandbox/."""
    with failures_reported():
        asyncio.run(until_signalled(lambda stopping: _serve(host, port, stopping)))


async def _serve(host: str, port: int, stopping: asyncio.Event) -> None:
    async with AsyncExitStack() as stack:
        try:
            org = await stack.enter_async_context(Sandbox(SystemClock(), host=host, port=port))
        except OSError as error:
            reason = refused_address(error, host=host, port=port)
            raise ConfigurationError(f"{reason}; choose another --port (0 takes a free one).") from error
        console = Console(highlight=False)
        console.print(f"The sandbox listens at {org.url}; Ctrl-C stops it.")
        console.print(
            "Log in with client credentials: client_id [bold]sandbox[/], "
            "client_secret [bold]sandbox-secret[/]."
        )
        await stopping.wait()
