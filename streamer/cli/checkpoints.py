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

    The log holds the positions and the orders to change them, so you can ask any
    process. The process that owns the channel carries out an order between two
    answers of Salesforce, and writes a continuity record. `set` and `reset` wait
    some seconds for this.

    Exits 0 when it is done, 1 when the daemon refuses or can't be reached, 2
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
            help="Continue after this replay id, as `list` shows it.  [default: none]",
            show_default=False,
        ),
    ] = None
    earliest: Annotated[
        bool, typer.Option("--earliest", help="Continue with the first event that Salesforce retains.")
    ] = False
    latest: Annotated[
        bool,
        typer.Option(
            "--latest", help="Continue with new events; earlier events that the log lacks are lost."
        ),
    ] = False
    since: Annotated[
        str | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help="Continue with events committed since 2h ago, or an ISO time.  [default: none]",
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
            raise typer.BadParameter("give one of --replay-id, --earliest, --latest and --since")
        return places[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderOptions:
    """Options of an order to change a position."""

    repeat: Annotated[
        bool,
        typer.Option("--repeat", help="Append events again that the log already holds."),
    ] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
    wait: Annotated[
        float,
        typer.Option(
            min=0,
            max=300,
            metavar="SECONDS",
            help="Longest wait for the order's result; 0 does not wait.",
        ),
    ] = 10.0
    as_json: AsJson = False


@checkpoint.command("list", cls=HelpfulCommand)
@api_command
async def list_(api: ApiOptions, *, as_json: AsJson = False) -> None:
    """Show each channel's position in the log, and until when reading can resume there.

    VERIFIED is the last moment at which no event was missing. After EXPIRES,
    Salesforce can drop the events that follow the position. OWNER is the process
    that reads the channel. ORDERED is a new position that an operator has ordered.
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
    """Move a channel to another position, after a preview and a question.

    The preview says which events the move repeats or loses. Events that the log
    already holds are not appended again, unless you give --repeat with --earliest
    or --since. A continuity record describes skipped events as a hole.
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
    """Move a channel to its configured start, as if it were new.

    The command shows which events the move repeats or loses, and asks, as `set`
    does.
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
        console().print(plain(f"Cancelled: {order['id']}. {channel} continues where it was."))


async def _order(api: Api, asked: JsonObject, how: OrderOptions) -> None:
    asked |= {"repeat": how.repeat}
    if not (how.yes or sys.stdin.isatty()):
        raise typer.BadParameter("there is no terminal to ask on: add --yes once the preview is right")
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
        return f"Done: {record['id']}, {record['state']}. {record['detail']}."
    return (
        f"Ordered: {ordered['id']}. The order is not carried out yet. The process that reads the channel "
        "carries it out after Salesforce's next answer, which can take some minutes on a quiet channel. "
        "`streamer continuity list` then shows this id. Until then, `streamer checkpoint cancel` cancels "
        "the order."
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
