"""The commands `streamer continuity …`."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from streamer.cli.lazy import HelpfulCommand, HelpfulGroup
from streamer.cli.operating.api_command import (
    ApiOptions,
    OperatorOptions,
    api_command,
    channels_with_holes,
    moment,
)
from streamer.cli.output import AsJson, at, by_reason, console, plain, print_json, print_table, with_reason
from streamer.events import HoleCause, JsonObject, Repair

continuity = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""List continuity records: events that were missing, and whether Streamer repaired the hole.

    The log holds the records of every process, so you can send the command to any
    process.

    Exits 0 on success, 1 when the daemon refuses or can't be reached, 2
    for a mistake in the arguments.
    """,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoleOptions:
    """Options that filter continuity records."""

    channel: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Only records of this channel, such as /data/ChangeEvents.  [default: any]",
            autocompletion=channels_with_holes,
        ),
    ] = None
    cause: Annotated[
        HoleCause | None,
        typer.Option(
            metavar="WORD", help=f"Only records with this cause: {', '.join(HoleCause)}.  [default: any]"
        ),
    ] = None
    state: Annotated[
        Repair | None,
        typer.Option(
            metavar="WORD", help=f"Only records in this state: {', '.join(Repair)}.  [default: any]"
        ),
    ] = None
    since: Annotated[
        str | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help=(
                "Only records written since this time, such as 2h (two hours ago) or 2026-01-31T09:30.  "
                "[default: all]"
            ),
        ),
    ] = None


@continuity.command("list", cls=HelpfulCommand)
@api_command
async def list_(
    holes: HoleOptions,
    where: ApiOptions,
    *,
    last: Annotated[
        int,
        typer.Option("--last", "-n", min=1, max=1_000, metavar="NUMBER", help="Maximum number of records."),
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the latest holes, the newest last, and the state of each repair.

    STATE is open (the repair waits or runs), full (no event is missing any more),
    partial (some events are still missing) or none (no repair is possible).
    """
    answer = await where.api().get("/continuity", **asdict(holes), last=last)
    if as_json:
        print_json(answer)
        return
    records = answer["records"]
    print_table(map(_line, records), empty="No continuity records.", whole="ID")
    if records:
        counts = Counter(record["state"] for record in records)
        console().print(f"\n{len(records):,} shown: ", plain(by_reason(counts)), sep="")


@continuity.command(cls=HelpfulCommand)
@api_command
async def acknowledge(
    hole: Annotated[
        str, typer.Argument(metavar="ID", help="The hole's id; `streamer continuity list` shows ids.")
    ],
    where: ApiOptions,
    operator: OperatorOptions,
    *,
    reason: Annotated[
        str,
        typer.Option("--reason", "-r", metavar="TEXT", help="Reason, for other operators and the audit."),
    ],
    as_json: AsJson = False,
) -> None:
    """Confirm that you know about an unrepaired hole, so that it no longer counts as a problem.

    The hole stays in `streamer continuity list`, with your name and the reason. Only a
    hole in the state partial or none can be acknowledged.
    """
    answer = await where.api().post("/continuity/acknowledge", id=hole, reason=reason, by=operator.name)
    if as_json:
        print_json(answer)
    else:
        console().print(plain(f"The hole {hole} of {answer['channel']} is acknowledged."), soft_wrap=True)


def _detail(record: JsonObject) -> str:
    known = record["acknowledged"]
    said = f" Acknowledged by {known['by']}: {known['reason']}" if known else ""
    return f"{with_reason(record['detail'], record)}{said}"


def _line(record: JsonObject) -> JsonObject:
    return {
        "RECORDED": at(record["recorded_at"]),
        "CHANNEL": record["channel"],
        "CAUSE": record["cause"],
        "STATE": record["state"],
        "FROM": at(record["from"]),
        "UNTIL": at(record["until"]),
        "FOUND": record["found"],
        "PUBLISHED": record["published"],
        "DETAIL": _detail(record),
        "ID": record["id"],
    }
