"""The commands `streamer parked …`."""

from typing import Annotated

import typer

from streamer.cli.help import HelpfulCommand, HelpfulGroup
from streamer.cli.operating.api_command import ApiOptions, api_command, subscriber_names
from streamer.cli.options import AsJson
from streamer.cli.output import at, console, plain, print_json, print_table
from streamer.events import JsonObject

parked = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""List parked keys: those whose first event keeps failing, so that the log keeps their events.

    The process that is asked answers for the partitions that it has.

    Exits 0 when it is done, 1 when the daemon refuses or can't be reached, 2
    for a mistake in the arguments.
    """,
)


@parked.command("list", cls=HelpfulCommand)
@api_command
async def list_(
    where: ApiOptions,
    *,
    subscriber: Annotated[
        str | None,
        typer.Argument(
            metavar="SUBSCRIBER",
            help="Of this subscriber.  [default: any]",
            autocompletion=subscriber_names,
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Of this key, such as a record's id.  [default: any]")
    ] = None,
    first: Annotated[
        int, typer.Option("--first", "-n", min=1, max=1_000, metavar="NUMBER", help="Most keys.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the parked keys that are due first, with their attempts and their last error.

    STATE is waiting for the due time, due (but held up, or not its turn yet)
    or trying.
    """
    answer = await where.api().get("/parked", subscriber=subscriber, key=key, first=first)
    if as_json:
        print_json(answer)
        return
    print_table(map(_line, answer["parked"]), empty="No parked keys.", whole="KEY")
    if answer["total"]:
        by_name = ", ".join(f"{name} {count:,}" for name, count in answer["by_subscriber"].items() if count)
        shown = f"\n{len(answer['parked']):,} of {answer['total']:,} shown: "
        console().print(shown, plain(by_name), sep="")
    if answer["not_here"]:
        console().print("Not in this process: ", plain(", ".join(answer["not_here"])), sep="")


def _line(parked_key: JsonObject) -> JsonObject:
    return {
        "DUE": at(parked_key["due_at"]),
        "SUBSCRIBER": parked_key["subscriber"],
        "STATE": parked_key["state"],
        "ATTEMPTS": parked_key["attempts"],
        "EVENTS": parked_key["events"],
        "FAILING SINCE": at(parked_key["first_failed_at"]),
        "ERROR": parked_key["error"],
        "KEY": parked_key["key"],
    }
