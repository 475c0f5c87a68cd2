"""Completion of names of entities and channels for the shell, by asking the org."""

import asyncio
from collections.abc import Iterable

import typer

from streamer.cli.org.connection import connected
from streamer.errors import StreamerError
from streamer.salesforce.tooling.names import DEFAULT_CHANNEL
from streamer.salesforce.tooling.setup import ChannelSetup

_COMPLETION_S = 3.0


def selected_entities(context: typer.Context, incomplete: str) -> list[str]:
    """Return the entities that are selected for the default channel, and begin with `incomplete`.

    The list is empty without `--config` before it, and when the org does not
    answer within three seconds.
    """
    return _beginning(incomplete, (each.entity for each in _setup(context).of(DEFAULT_CHANNEL)))


def custom_channels(context: typer.Context, incomplete: str) -> list[str]:
    """Return the custom channels that begin with `incomplete`, as `selected_entities` does."""
    return _beginning(incomplete, (each.name for each in _setup(context).channels))


def all_channels(context: typer.Context, incomplete: str) -> list[str]:
    """Return the channels that begin with `incomplete`, as `selected_entities` does."""
    return _beginning(incomplete, [DEFAULT_CHANNEL, *(each.name for each in _setup(context).channels)])


def members_of_channel(context: typer.Context, incomplete: str) -> list[str]:
    """Return the members of the channel before it, as `selected_entities` returns entities."""
    return _beginning(
        incomplete, (each.entity for each in _setup(context).of(context.params["channel"] or ""))
    )


def _setup(context: typer.Context) -> ChannelSetup:
    files = context.params.get("config")
    if not files:
        return ChannelSetup()

    async def ask() -> ChannelSetup:
        async with asyncio.timeout(_COMPLETION_S), connected(files) as org:
            return await org.tooling.setup()

    try:
        return asyncio.run(ask())
    except (StreamerError, TimeoutError):
        return ChannelSetup()


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))
