"""The commands `streamer org …`, with `cdc` and `channels`."""

from typing import Annotated

import typer

from streamer.cli.lazy import HelpfulCommand, HelpfulGroup
from streamer.cli.operating.api_command import api_command
from streamer.cli.org.channels import channels
from streamer.cli.org.connection import OrgOptions, connected, selected_entities
from streamer.cli.org.planned import PlanOptions, allocation, carry_out, member_line
from streamer.cli.output import AsJson, console, print_json, print_table
from streamer.events import JsonObject
from streamer.salesforce.tooling.changes import disabling, enabling
from streamer.salesforce.tooling.setup import (
    ENTITIES_WITHOUT_ADD_ON,
    ChannelMember,
    is_change_event,
    sorted_members,
)

cdc = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""List, enable and disable the entities whose changes the org sends (Change Data Capture).

    Exits 0 on success, even if nothing had to change; 1 when the org
    refuses or can't be reached; 2 for a mistake in the arguments or in the
    configuration.
    """,
)
org = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Show and choose the events that the org sends, through Salesforce's Tooling API.

    A command that changes the org first shows its plan, and asks for confirmation.
    """,
)


@cdc.command("list", cls=HelpfulCommand)
@api_command
async def list_(where: OrgOptions, *, as_json: AsJson = False) -> None:
    """Show the selected entities with channel, filter and enriched fields.

    ChangeEvents is the channel /data/ChangeEvents. It carries the entities that are
    selected in Setup, on the page Change Data Capture.
    """
    async with connected(where.config) as org:
        setup = await org.tooling.setup()
    members = [each for each in sorted_members(setup.members) if is_change_event(each.selected)]
    if as_json:
        print_json(
            {
                "selected": [_json(each) for each in members],
                "entities": len(setup.entities),
                "allowed_without_add_on": ENTITIES_WITHOUT_ADD_ON,
            }
        )
        return
    print_table(map(_line, members), empty="No entity is selected, so the org sends no changes.")
    if members:
        console().print(f"\n{allocation(setup)}", soft_wrap=True)


@cdc.command(cls=HelpfulCommand)
@api_command
async def enable(
    entities: Annotated[
        list[str],
        typer.Argument(metavar="ENTITY", help="One or more API names, such as Account or Invoice__c."),
    ],
    where: OrgOptions,
    options: PlanOptions,
) -> None:
    """Select entities, so that their changes arrive on /data/ChangeEvents.

    The command shows its plan, and asks for confirmation. The user needs the
    permission Customize Application. The org never sends changes that were made
    before the selection.
    """
    async with connected(where.config) as org:
        await carry_out(org, enabling(await org.tooling.setup(), entities), options)


@cdc.command(cls=HelpfulCommand)
@api_command
async def disable(
    entities: Annotated[
        list[str],
        typer.Argument(
            metavar="ENTITY",
            help="One or more API names, such as Account or Invoice__c.",
            autocompletion=selected_entities,
        ),
    ],
    where: OrgOptions,
    options: PlanOptions,
) -> None:
    """Deselect entities, so that /data/ChangeEvents no longer gets their changes.

    The command shows its plan and which events the change loses, and asks for
    confirmation. The user needs the permission Customize Application. Custom
    channels keep the entity.
    """
    async with connected(where.config) as org:
        await carry_out(org, disabling(await org.tooling.setup(), entities), options)


def _line(member: ChannelMember) -> JsonObject:
    line = member_line(member)
    return {"ENTITY": line.pop("ENTITY"), **line}


def _json(member: ChannelMember) -> JsonObject:
    return {
        "entity": member.entity,
        "event": member.selected,
        "channel": member.channel,
        "filter": member.filter,
        "enriched": list(member.enriched),
        "id": member.id,
    }


org.add_typer(cdc, name="cdc")
org.add_typer(channels, name="channels")
