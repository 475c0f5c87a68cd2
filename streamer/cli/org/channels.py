"""The commands `streamer org channels …`."""

from enum import StrEnum
from typing import Annotated

import typer

from streamer.cli.lazy import HelpfulCommand, HelpfulGroup
from streamer.cli.operating.api_command import api_command
from streamer.cli.org.connection import (
    OrgOptions,
    all_channels,
    connected,
    custom_channels,
    members_of_channel,
)
from streamer.cli.org.planned import PlanOptions, carry_out
from streamer.cli.output import AsJson, print_json, print_table
from streamer.events import JsonObject
from streamer.salesforce.tooling.changes import MemberOptions, adding, creating, deleting, removing
from streamer.salesforce.tooling.setup import ChannelSetup, CustomChannel

channels = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""List, create, change and delete the org's custom channels.

    A custom channel carries the changes of chosen entities (type data) or chosen
    platform events (type event). Each entity and each platform event in a channel
    has its own filter and enriched fields. Streamer reads the channel as
    /data/NAME__chn or /event/NAME__chn.

    Exits 0 on success, even if nothing had to change; 1 when the org
    refuses or can't be reached; 2 for a mistake in the arguments or in the
    configuration.
    """,
)


class ChannelType(StrEnum):
    """Kind of messages that a custom channel carries."""

    DATA = "data"
    EVENT = "event"


Channel = Annotated[
    str,
    typer.Argument(metavar="CHANNEL", help="A custom channel, or ChangeEvents.", autocompletion=all_channels),
]


@channels.command("list", cls=HelpfulCommand)
@api_command
async def list_(where: OrgOptions, *, as_json: AsJson = False) -> None:
    """Show the custom channels with their members; `streamer org cdc list` shows ChangeEvents."""
    async with connected(where.config) as org:
        setup = await org.tooling.setup()
    ordered = sorted(setup.channels, key=lambda each: each.name)
    if as_json:
        print_json({"channels": [_json(setup, each) for each in ordered]})
        return
    print_table((_line(setup, each) for each in ordered), empty="The org has no custom channels.")


@channels.command(cls=HelpfulCommand)
@api_command
async def create(
    name: Annotated[str, typer.Argument(metavar="NAME__chn", help="The channel's name, such as Erp__chn.")],
    where: OrgOptions,
    options: PlanOptions,
    *,
    kind: Annotated[
        ChannelType,
        typer.Option(
            "--type",
            metavar="data|event",
            help="`data` carries changes of records; `event` carries platform events.",
        ),
    ] = ChannelType.DATA,
    label: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The channel's label in Salesforce's Setup.  [default: the name]"),
    ] = None,
) -> None:
    """Create a custom channel without members.

    The command shows its plan, and asks for confirmation. `streamer org channels
    add` adds entities or platform events to the channel.
    """
    async with connected(where.config) as org:
        await carry_out(org, creating(await org.tooling.setup(), name, kind.value, label), options)


@channels.command(cls=HelpfulCommand)
@api_command
async def add(
    channel: Channel,
    entity: Annotated[
        str, typer.Argument(metavar="ENTITY", help="An entity, or a platform event such as Order_Placed__e.")
    ],
    where: OrgOptions,
    options: PlanOptions,
    *,
    filter_: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="EXPRESSION",
            help="Filter that an event must pass, such as \"Industry = 'Energy'\"; an empty text removes "
            "the filter.  [default: no change]",
        ),
    ] = None,
    enrich: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD",
            help="Field to add to every update and deletion; repeat the option for several fields; an "
            "empty text removes all added fields.  [default: no change]",
        ),
    ] = None,
) -> None:
    """Add an entity or a platform event to a channel, or change its filter and enriched fields.

    The command shows its plan, and asks for confirmation. A filter affects every
    subscriber of the channel.
    """
    enriched = None if not enrich else tuple(dict.fromkeys(field for field in enrich if field))
    wanted = MemberOptions(filter=None if filter_ is None else filter_.strip(), enriched=enriched)
    async with connected(where.config) as org:
        await carry_out(org, adding(await org.tooling.setup(), channel, entity, wanted), options)


@channels.command(cls=HelpfulCommand)
@api_command
async def remove(
    channel: Channel,
    entity: Annotated[
        str,
        typer.Argument(
            metavar="ENTITY",
            help="An entity or platform event of the channel.",
            autocompletion=members_of_channel,
        ),
    ],
    where: OrgOptions,
    options: PlanOptions,
) -> None:
    """Remove an entity or a platform event from a channel.

    The command shows its plan and which events the change loses, and asks for
    confirmation.
    """
    async with connected(where.config) as org:
        await carry_out(org, removing(await org.tooling.setup(), channel, entity), options)


@channels.command(cls=HelpfulCommand)
@api_command
async def delete(
    channel: Annotated[
        str,
        typer.Argument(metavar="CHANNEL", help="A custom channel.", autocompletion=custom_channels),
    ],
    where: OrgOptions,
    options: PlanOptions,
) -> None:
    """Delete a custom channel with its members.

    The command shows its plan and which events the change loses, and asks for
    confirmation.
    """
    async with connected(where.config) as org:
        await carry_out(org, deleting(await org.tooling.setup(), channel), options)


def _line(setup: ChannelSetup, channel: CustomChannel) -> JsonObject:
    return {
        "CHANNEL": channel.name,
        "TYPE": channel.kind,
        "LABEL": channel.label,
        "PATH": channel.path,
        "MEMBERS": ", ".join(sorted(each.entity for each in setup.of(channel.name))),
    }


def _json(setup: ChannelSetup, channel: CustomChannel) -> JsonObject:
    members = sorted(setup.of(channel.name), key=lambda each: each.entity)
    return {
        "name": channel.name,
        "type": channel.kind,
        "label": channel.label,
        "path": channel.path,
        "id": channel.id,
        "members": [
            {"entity": each.entity, "filter": each.filter, "enriched": list(each.enriched)}
            for each in members
        ],
    }
