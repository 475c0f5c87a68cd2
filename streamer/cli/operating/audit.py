"""The command `streamer audit`."""

from dataclasses import asdict, dataclass
from typing import Annotated

import orjson
import typer

from streamer.cli.operating.api_command import ApiOptions, api_command, moment, subscriber_names
from streamer.cli.output import AsJson, at, print_json, print_table
from streamer.events import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """Options that filter audit records."""

    what: Annotated[
        str | None,
        typer.Option(
            metavar="WORD",
            help="Only records of this kind, such as subscriber.paused, or redrive for all redrives.  "
            "[default: any]",
        ),
    ] = None
    by: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only changes that this operator made.  [default: any]"),
    ] = None
    subscriber: Annotated[
        str | None,
        typer.Option(
            "--subscriber",
            "-s",
            metavar="NAME",
            help="Only changes to this subscriber.  [default: any]",
            autocompletion=subscriber_names,
        ),
    ] = None
    since: Annotated[
        str | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help=(
                "Only changes since this time, such as 2h (two hours ago) or 2026-01-31T09:30.  "
                "[default: all]"
            ),
        ),
    ] = None
    until: Annotated[
        str | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help=(
                "Only changes before this time, such as 30m (30 minutes ago) or 2026-01-31T09:30.  "
                "[default: now]"
            ),
        ),
    ] = None


@api_command
async def audit(
    chosen: AuditOptions,
    where: ApiOptions,
    *,
    last: Annotated[
        int,
        typer.Option("--last", "-n", min=1, max=1_000, metavar="NUMBER", help="Maximum number of records."),
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the changes that operators made while Streamer ran, such as pauses, redrives and discards.

    The log holds the records of every process, so you can send the command to any
    process. A filter searches the latest 10,000 records.

    Exits 0 on success, 1 when the daemon refuses or can't be reached, 2
    for a mistake in the arguments.
    """
    answer = await where.api().get("/audit", **asdict(chosen), last=last)
    if as_json:
        print_json(answer)
    else:
        print_table(map(_line, answer["records"]), empty="No records yet.")


def _line(record: JsonObject) -> JsonObject:
    return {
        "AT": at(record["at"]),
        "WHAT": record["what"],
        "SUBSCRIBER": record["subscriber"],
        "BY": record["by"],
        "DETAIL": orjson.dumps(record["detail"]).decode() if record["detail"] else "",
    }
