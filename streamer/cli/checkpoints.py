"""The commands `streamer checkpoint …`."""

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from streamer.cli.lazy import HelpfulCommand, HelpfulGroup
from streamer.cli.operating.api import Api
from streamer.cli.operating.api_command import ApiOptions, OperatorOptions, api_command, channel_paths, moment
from streamer.cli.output import (
    AsJson,
    at,
    confirmed,
    console,
    plain,
    print_json,
    print_table,
    sentences_aside,
    working,
)
from streamer.events import JsonObject

checkpoint = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""List the channels' positions, and move a channel to another position.

    The log holds the positions and the orders to change them, so you can send the
    command to any process. The process that owns the channel carries out an order
    after Salesforce's next answer, and writes a continuity record. `set` and
    `reset` wait some seconds for that record.

    Exits 0 on success, 1 when the daemon refuses or can't be reached, 2
    for a mistake in the arguments.
    """,
)

Channel = Annotated[
    str,
    typer.Argument(
        metavar="CHANNEL",
        help="The channel's path, such as /data/ChangeEvents.",
        autocompletion=channel_paths,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOptions:
    """Options for the new position; exactly one option must be given."""

    replay_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help=(
                "Continue after this replay id; `streamer checkpoint list` shows the stored id.  "
                "[default: none]"
            ),
            show_default=False,
        ),
    ] = None
    earliest: Annotated[
        bool, typer.Option("--earliest", help="Continue with the first event that Salesforce retains.")
    ] = False
    latest: Annotated[
        bool,
        typer.Option(
            "--latest", help="Continue with new events; earlier events that are not in the log are lost."
        ),
    ] = False
    since: Annotated[
        str | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help=(
                "Continue with events committed since this time, such as 2h (two hours ago) or "
                "2026-01-31T09:30.  [default: none]"
            ),
            show_default=False,
        ),
    ] = None

    def asked(self) -> JsonObject:
        """Return the chosen position; raises `typer.BadParameter` unless exactly one position is given."""
        places: list[JsonObject] = []
        if self.replay_id is not None:
            places.append({"place": "replay_id", "replay_id": self.replay_id})
        if self.earliest:
            places.append({"place": "earliest"})
        if self.latest:
            places.append({"place": "latest"})
        if self.since is not None:
            places.append({"place": "since", "since": self.since})
        if len(places) != 1:
            raise typer.BadParameter("give exactly one of --replay-id, --earliest, --latest and --since")
        return places[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderOptions:
    """Options of an order to change a position."""

    repeat: Annotated[
        bool,
        typer.Option("--repeat", help="Append events again even if the log already holds them."),
    ] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False
    wait: Annotated[
        float,
        typer.Option(
            min=0,
            max=300,
            metavar="SECONDS",
            help="Seconds to wait for the order's result; 0 returns at once.",
        ),
    ] = 10.0
    as_json: AsJson = False


@checkpoint.command("list", cls=HelpfulCommand)
@api_command
async def list_(api: ApiOptions, *, as_json: AsJson = False) -> None:
    """Show each channel's position, and the time until which reading can resume at that position.

    VERIFIED is the time up to which no event is missing. After EXPIRES, Salesforce
    can drop the events that follow the position. OWNER is the process that reads
    the channel. ORDERED is a new position that an operator has ordered.
    """
    answer = await api.api().get("/checkpoints")
    if as_json:
        print_json(answer)
        return
    print_table(map(_line, answer["checkpoints"]), empty="No channels are configured.", whole="CHANNEL")


@checkpoint.command("set", cls=HelpfulCommand)
@api_command
async def set_(
    channel: Channel,
    place: PlaceOptions,
    api: ApiOptions,
    operator: OperatorOptions,
    how: OrderOptions,
) -> None:
    """Move a channel to another position, after a preview and your confirmation.

    The preview says which events the move repeats or loses. Streamer skips events
    that the log already holds, unless you give --repeat with --earliest or --since.
    A continuity record describes lost events as a hole.
    """
    asked = {"channel": channel, **place.asked(), "by": operator.name}
    await _order(api.api(), asked, how)


@checkpoint.command(cls=HelpfulCommand)
@api_command
async def reset(
    channel: Channel,
    api: ApiOptions,
    operator: OperatorOptions,
    how: OrderOptions,
) -> None:
    """Move a channel to its configured start, like a new channel.

    The command first shows which events the move repeats or loses, and asks for
    confirmation.
    """
    asked = {"channel": channel, "place": "start", "by": operator.name}
    await _order(api.api(), asked, how)


@checkpoint.command(cls=HelpfulCommand)
@api_command
async def cancel(
    channel: Channel, api: ApiOptions, operator: OperatorOptions, *, as_json: AsJson = False
) -> None:
    """Cancel a waiting order: the channel keeps its position."""
    answer = await api.api().post("/checkpoints/cancel", channel=channel, by=operator.name)
    if as_json:
        print_json(answer)
        return
    for order in answer["cancelled"]:
        console().print(plain(f"The order {order['id']} is cancelled. {channel} keeps its position."))


async def _order(api: Api, asked: JsonObject, how: OrderOptions) -> None:
    asked |= {"repeat": how.repeat}
    if not (how.yes or sys.stdin.isatty()):
        raise typer.BadParameter(
            "the command needs your confirmation, but there is no terminal: add --yes to confirm the move"
        )
    with sentences_aside(how.as_json):
        with working("Asking the log"):
            meant = await api.for_long_requests.post("/checkpoints", **asked, dry_run=True)
        for sentence in meant["effect"]["sentences"]:
            console().print(plain(sentence), soft_wrap=True)
        if not how.yes:
            confirmed(f"Set the position of {plain(asked['channel'])}?")
        with working("Waiting for Salesforce's answer"):
            ordered = await api.for_long_requests.post("/checkpoints", **asked, wait_s=how.wait)
        console().print(plain(_said(ordered)), soft_wrap=True)
    if how.as_json:
        print_json(ordered)


def _said(ordered: JsonObject) -> str:
    record = ordered["outcome"]
    if record is not None:
        return (
            f"The order is carried out. {record['detail']}. "
            f"Continuity record: {record['id']} ({record['state']})."
        )
    return (
        f"The order {ordered['id']} waits. The process that reads the channel carries it out after "
        "Salesforce's next answer; a quiet channel can take some minutes. `streamer continuity list` "
        "then shows the order's id. Until then, `streamer checkpoint cancel` cancels the order."
    )


def _line(each: JsonObject) -> JsonObject:
    return {
        "CHANNEL": each["channel"] if each["configured"] else f"{each['channel']} (not configured)",
        "TRANSPORT": each["transport"],
        "REPLAY ID": each["replay_id"],
        "VERIFIED": at(each["verified_at"]),
        "EXPIRES": at(each["expires_at"]),
        "STORED": at(each["stored_at"]),
        "ORG": each["org"],
        "OWNER": each["owner"],
        "ORDERED": _ordered(each["order"]),
    }


def _ordered(order: JsonObject | None) -> str:
    if order is None:
        return ""
    place = order["replay_id"] or at(order["since"]) or order["place"]
    return f"{place}, by {order['by']} at {at(order['at'])}"
