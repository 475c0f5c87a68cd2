"""The commands `streamer snapshot …`."""

from dataclasses import dataclass
from typing import Annotated

import typer

from streamer.cli.help import HelpfulCommand, HelpfulGroup
from streamer.cli.operating.api_command import ApiOptions, AsJson, OperatorOptions, api_command, snapshot_ids
from streamer.cli.operating.snapshot_watch import watched
from streamer.cli.output import at, console, plain, print_json, print_table, working
from streamer.clock import SystemClock
from streamer.events import JsonObject

snapshot = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Publish all records of an object, as they are now, in its channel.

    The process that owns the channel carries a snapshot out, beside what it
    reads there. The log holds the orders and their progress, so any process can
    answer.

    Exits 0 when it is done, 1 when the daemon refuses or can't be reached, 2
    for a mistake in the arguments.
    """,
)

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The snapshot's id, as start and list show it.", autocompletion=snapshot_ids
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotOptions:
    """Options that say what to read, and for which channel."""

    where: Annotated[
        str,
        typer.Option(
            metavar="SOQL",
            help='Only records that match, such as "CreatedDate > 2026-01-01T00:00:00Z".  [default: all]',
            show_default=False,
        ),
    ] = ""
    fields: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="Only these fields, with commas between.  [default: all]", show_default=False
        ),
    ] = ""
    channel: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="In this channel.  [default: the object's, or /data/ChangeEvents]"),
    ] = None

    def asked(self, entity: str, by: str) -> JsonObject:
        """Return the request for a snapshot of `entity`."""
        names = [name.strip() for name in self.fields.split(",") if name.strip()]
        return {"entity": entity, "where": self.where, "fields": names, "channel": self.channel, "by": by}


@snapshot.command(cls=HelpfulCommand)
@api_command
async def start(
    entity: Annotated[str, typer.Argument(metavar="ENTITY", help="The object's API name, such as Account.")],
    chosen: SnapshotOptions,
    api: ApiOptions,
    operator: OperatorOptions,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Order a snapshot: each record becomes an event of the type salesforce.cdc.ENTITY.snapshot.

    Asks first. Reading costs API requests of the org, and stops while less
    than a fifth of the day's is left. `watch` shows the progress.
    """
    asked = chosen.asked(entity, operator.name)
    found = await api.api().post("/snapshots", **asked, dry_run=True)
    which = f" where {found['where']}" if found["where"] else ""
    question = f"Publish the records of {found['entity']}{which} in {found['channel']}?"
    if not yes:
        typer.confirm(plain(question).plain, abort=True)
    with working("Ordering"):
        ordered = await api.api().post("/snapshots", **asked)
    console().print(
        f"Ordered: {ordered['id']} in {ordered['channel']}. `streamer snapshot watch {ordered['id']}` shows "
        "its progress.",
        markup=False,
    )


@snapshot.command("list", cls=HelpfulCommand)
@api_command
async def list_(
    api: ApiOptions,
    *,
    last: Annotated[
        int, typer.Option("--last", "-n", min=1, max=1_000, metavar="NUMBER", help="Most snapshots.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the latest snapshots, those that wait last.

    STATE is waiting (for the process that owns the channel), running, paused,
    cancelling, full (all is published), partial (some of it is) or none.
    """
    answer = await api.api().get("/snapshots", last=last)
    if as_json:
        print_json(answer)
        return
    print_table(map(_line, answer["snapshots"]), empty="No snapshots.", whole="ID")


@snapshot.command(cls=HelpfulCommand)
@api_command
async def pause(order: Id, api: ApiOptions, operator: OperatorOptions) -> None:
    """Pause a snapshot, across restarts, until it is resumed; the next one goes on meanwhile."""
    done = await _changed(api, order, "pause", operator)
    console().print(f"Snapshot {done['id']} is paused, with {done['published']:,} rows published.")


@snapshot.command(cls=HelpfulCommand)
@api_command
async def resume(order: Id, api: ApiOptions, operator: OperatorOptions) -> None:
    """Let a paused snapshot go on where it was."""
    done = await _changed(api, order, "resume", operator)
    console().print(f"Snapshot {done['id']} goes on behind {done['published']:,} rows.")


@snapshot.command(cls=HelpfulCommand)
@api_command
async def cancel(order: Id, api: ApiOptions, operator: OperatorOptions) -> None:
    """Cancel a snapshot for good; the rows that are published stay."""
    done = await _changed(api, order, "cancel", operator)
    console().print(
        f"Snapshot {done['id']} is cancelled, with {done['published']:,} rows published: it ends when the "
        "process that owns its channel knows."
    )


@snapshot.command(cls=HelpfulCommand)
@api_command
async def watch(order: Id, api: ApiOptions) -> None:
    """Show the progress of a snapshot until its end, with its rate and the time left.

    Ctrl-C ends the display, not the snapshot. Exits 1 unless all of it is
    published.
    """
    if not await watched(api.api(), order, SystemClock()):
        raise typer.Exit(1)


async def _changed(api: ApiOptions, order: str, change: str, operator: OperatorOptions) -> JsonObject:
    return await api.api().post(f"/snapshots/{order}/{change}", by=operator.name)


def _line(each: JsonObject) -> JsonObject:
    return {
        "BEGUN": at(each["begun_at"]),
        "CHANNEL": each["channel"],
        "ENTITY": each["entity"],
        "STATE": each["state"],
        "FOUND": each["found"],
        "PUBLISHED": each["published"],
        "DETAIL": each["detail"],
        "ID": each["id"],
    }
