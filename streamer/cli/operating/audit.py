"""The command `streamer audit`."""

from typing import Annotated

import orjson
import typer

from streamer.cli.operating.api_command import ApiOptions, api_command
from streamer.cli.output import AsJson, at, print_json, print_table
from streamer.events import JsonObject


@api_command
async def audit(
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
    process.

    Exits 0 on success, 1 when the daemon refuses or can't be reached, 2
    for a mistake in the arguments.
    """
    answer = await where.api().get("/audit", last=last)
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
