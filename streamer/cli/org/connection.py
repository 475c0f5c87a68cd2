"""Connection of a command to the org of a configuration, and completion of the org's names."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from streamer.clock import SystemClock
from streamer.configuration import Document, load_document, load_draft, load_section
from streamer.configuration.event_types import Carried
from streamer.errors import ConfigurationError, StreamerError
from streamer.salesforce.auth.flows import Logins
from streamer.salesforce.rest import Rest
from streamer.salesforce.tooling.client import Tooling
from streamer.salesforce.tooling.setup import DEFAULT_CHANNEL, ChannelSetup
from streamer.settings import OrgSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgOptions:
    """Option that names the org."""

    config: Annotated[
        list[Path],
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="The daemon's configuration with the org and its channels; if you give several files, "
            "later files override earlier files.",
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredChannels:
    """Paths of a configuration's channels, and each subscriber's patterns of event types."""

    paths: tuple[str, ...] = ()
    patterns: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def subscribers_of(self, path: str, name: str) -> list[str]:
        """Return the subscribers to the entity or platform event `name` on the channel at `path`."""
        carried = replace(Carried.by(path), name=name)
        return [each for each, patterns in self.patterns if any(map(carried.can_match, patterns))]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgConnection:
    """Tooling API of an org, and the channels that the configuration reads."""

    tooling: Tooling
    reading: ConfiguredChannels


@asynccontextmanager
async def connected(files: Sequence[Path]) -> AsyncIterator[OrgConnection]:
    """Yield the connection to the configured org; raises `ConfigurationError`.

    Only the section `org` must be free of mistakes, so the secrets of targets can
    be missing.
    """
    document = load_document(files)
    org, clock = load_section(document, "org", OrgSettings), SystemClock()
    async with Logins(clock).opened(org) as (tokens, http):
        rest = Rest(http, tokens, clock, api_version=org.api_version)
        tooling = Tooling(rest, api_version=org.api_version)
        yield OrgConnection(tooling=tooling, reading=_reading(document))


def _reading(document: Document) -> ConfiguredChannels:
    try:
        draft = load_draft(document)
    except ConfigurationError:
        # Mistakes in other sections do not concern this command.
        return ConfiguredChannels()
    # Without configured channels, the draft holds a placeholder channel.
    channels = draft.settings.channels if draft.channels else ()
    subscribers = draft.settings.subscribers.items()
    sound = ((str(name), each.on) for name, each in subscribers if draft.is_sound("subscribers", name, "on"))
    return ConfiguredChannels(paths=tuple(each.path for each in channels), patterns=tuple(sound))


_COMPLETION_S = 3.0


def selected_entities(context: typer.Context, incomplete: str) -> list[str]:
    """Complete an entity that is selected for the default channel, for the shell.

    The list is empty if `--config` is not given yet, or the org does not answer
    within three seconds.
    """
    return _beginning(incomplete, (each.entity for each in _setup(context).of(DEFAULT_CHANNEL)))


def custom_channels(context: typer.Context, incomplete: str) -> list[str]:
    """Complete a custom channel, as `selected_entities` completes an entity."""
    return _beginning(incomplete, (each.name for each in _setup(context).channels))


def all_channels(context: typer.Context, incomplete: str) -> list[str]:
    """Complete a channel, as `selected_entities` completes an entity."""
    return _beginning(incomplete, [DEFAULT_CHANNEL, *(each.name for each in _setup(context).channels)])


def members_of_channel(context: typer.Context, incomplete: str) -> list[str]:
    """Complete a member of the channel that the previous argument names, as `selected_entities` does."""
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
