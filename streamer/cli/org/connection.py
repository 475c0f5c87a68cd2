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
            help="The daemon's configuration, which holds the org and its channels; of several files, later "
            "ones override earlier ones.",
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredChannels:
    """Channels that a configuration reads, by path, and the patterns of each subscriber."""

    paths: tuple[str, ...] = ()
    patterns: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def subscribers_of(self, path: str, name: str) -> list[str]:
        """Return the subscribers that take the events of that name on the channel at `path`."""
        carried = replace(Carried.by(path), name=name)
        return [each for each, patterns in self.patterns if any(map(carried.can_match, patterns))]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgConnection:
    """Tooling API of an org, and what the configuration reads of it."""

    tooling: Tooling
    reading: ConfiguredChannels


@asynccontextmanager
async def connected(files: Sequence[Path]) -> AsyncIterator[OrgConnection]:
    """Return the connection to the org in the configuration `files`; raises `ConfigurationError`.

    Only the section `org` has to be sound, so that the secrets of targets are not needed.
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
    # A channel stands in for those of a configuration that has none.
    channels = draft.settings.channels if draft.channels else ()
    subscribers = draft.settings.subscribers.items()
    sound = ((str(name), each.on) for name, each in subscribers if draft.is_sound("subscribers", name, "on"))
    return ConfiguredChannels(paths=tuple(each.path for each in channels), patterns=tuple(sound))


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
