"""The commands `streamer snapshot …`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from streamer.cli.lazy import HelpfulCommand, HelpfulGroup
from streamer.cli.operating.api import Api
from streamer.cli.operating.api_command import (
    ApiOptions,
    OperatorOptions,
    api_command,
    channel_paths,
    moment,
    snapshot_ids,
)
from streamer.cli.operating.snapshot_watch import duration, watched
from streamer.cli.output import (
    AsJson,
    at,
    confirmed,
    console,
    counted,
    plain,
    print_json,
    print_table,
    sentences_aside,
    with_reason,
    working,
)
from streamer.clock import SystemClock
from streamer.events import JsonObject

snapshot = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Publish the current state of all records of an object, in the object's channel.

    The process that owns the channel carries out the snapshot, and reads the
    channel at the same time. The log holds the orders and their progress, so you
    can send the command to any process.

    Exits 0 on success, 1 when the daemon refuses or can't be reached, 2
    for a mistake in the arguments.
    """,
)

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The snapshot's id; `streamer snapshot list` shows ids.",
        autocompletion=snapshot_ids,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotOptions:
    """Options that choose the records and the channel."""

    where: Annotated[
        str,
        typer.Option(
            metavar="SOQL",
            help=(
                'Only records that match this condition, such as "CreatedDate > 2026-01-01T00:00:00Z". '
                " [default: all]"
            ),
            show_default=False,
        ),
    ] = ""
    fields: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="Only these fields, separated by commas.  [default: all]", show_default=False
        ),
    ] = ""
    since: Annotated[
        str | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help=(
                "Only records changed or deleted since this time, such as 2h (two hours ago) or "
                "2026-01-31T09:30.  [default: all]"
            ),
        ),
    ] = None
    channel: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help=(
                "Publish the records in this channel.  [default: the object's channel, or /data/ChangeEvents]"
            ),
            autocompletion=channel_paths,
        ),
    ] = None

    def asked(self, entity: str, by: str) -> JsonObject:
        """Return the request for a snapshot of `entity`."""
        names = [name.strip() for name in self.fields.split(",") if name.strip()]
        chosen = {"where": self.where, "fields": names, "since": self.since, "channel": self.channel}
        return {"entity": entity, **chosen, "by": by}


@snapshot.command(cls=HelpfulCommand)
@api_command
async def start(
    entities: Annotated[
        list[str],
        typer.Argument(metavar="ENTITY...", help="The API names of one or more objects, such as Account."),
    ],
    chosen: SnapshotOptions,
    api: ApiOptions,
    operator: OperatorOptions,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: AsJson = False,
) -> None:
    """Order a snapshot: each record is published as an event of type salesforce.cdc.ENTITY.snapshot.

    The command counts the records, shows the cost, and asks for confirmation. A
    snapshot uses API requests of the org. It waits while less than a fifth of the
    day's requests is left. `watch` shows the progress. Streamer reads several
    objects one after the other. If one object can't have a snapshot, the command
    orders nothing. With `--json`, the command prints a JSON object for each
    snapshot.
    """
    # An object that is named twice gets one snapshot.
    asked = [chosen.asked(each, operator.name) for each in dict.fromkeys(entities)]
    with sentences_aside(as_json):
        await _tell_cost(api.api(), asked, yes=yes)
        for each in asked:
            ordered = await _start(api.api(), each)
            if as_json:
                print_json(ordered)


async def _tell_cost(api: Api, asked: Sequence[JsonObject], *, yes: bool) -> None:
    """Show the cost of the snapshots, and ask."""
    questions = []
    for each in asked:
        with working(f"Counting the records of {each['entity']}"):
            found = await api.post("/snapshots", **each, dry_run=True)
        for line in forecast_lines(found["forecast"]):
            console().print(plain(f"{found['entity']}: {line}" if len(asked) > 1 else line))
        which = f" where {found['where']}" if found["where"] else ""
        which += f" since {at(found['since'])}" if found["since"] else ""
        questions.append(f"{found['entity']}{which} in {found['channel']}")
    if not yes:
        confirmed(plain(f"Publish the records of {', of '.join(questions)}?").plain)


async def _start(api: Api, asked: JsonObject) -> JsonObject:
    """Order a snapshot; return the API's answer."""
    with working("Ordering"):
        ordered = await api.post("/snapshots", **asked)
    console().print(
        f"Snapshot {ordered['id']} is ordered in {ordered['channel']}. `streamer snapshot watch "
        f"{ordered['id']}` shows its progress.",
        markup=False,
    )
    return ordered


@snapshot.command("list", cls=HelpfulCommand)
@api_command
async def list_(
    api: ApiOptions,
    *,
    last: Annotated[
        int,
        typer.Option("--last", "-n", min=1, max=1_000, metavar="NUMBER", help="Maximum number of snapshots."),
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the latest snapshots; waiting snapshots are at the end.

    STATE is waiting (for the process that owns the channel), running, paused,
    cancelling, full (all rows are published), partial (some rows are published) or
    none (no rows are published). DETAIL says why a running snapshot waits.
    """
    answer = await api.api().get("/snapshots", last=last)
    if as_json:
        print_json(answer)
        return
    print_table(map(_line, answer["snapshots"]), empty="No snapshots.", whole="ID")


@snapshot.command(cls=HelpfulCommand)
@api_command
async def pause(order: Id, api: ApiOptions, operator: OperatorOptions, *, as_json: AsJson = False) -> None:
    """Pause a snapshot until you resume it, even across restarts. The next snapshot begins at once."""
    done = await _changed(api, order, "pause", operator)
    if as_json:
        print_json(done)
        return
    console().print(f"Snapshot {done['id']} is paused after {done['published']:,} published rows.")


@snapshot.command(cls=HelpfulCommand)
@api_command
async def resume(order: Id, api: ApiOptions, operator: OperatorOptions, *, as_json: AsJson = False) -> None:
    """Continue a paused snapshot at the row where it stopped."""
    done = await _changed(api, order, "resume", operator)
    if as_json:
        print_json(done)
        return
    console().print(f"Snapshot {done['id']} continues after {done['published']:,} published rows.")


@snapshot.command(cls=HelpfulCommand)
@api_command
async def cancel(order: Id, api: ApiOptions, operator: OperatorOptions, *, as_json: AsJson = False) -> None:
    """Cancel a snapshot for good; published rows stay in the log."""
    done = await _changed(api, order, "cancel", operator)
    if as_json:
        print_json(done)
        return
    console().print(
        f"Snapshot {done['id']} is cancelled after {done['published']:,} published rows. It ends as "
        "soon as the process that owns the channel has read the order."
    )


@snapshot.command(cls=HelpfulCommand)
@api_command
async def watch(order: Id, api: ApiOptions, *, as_json: AsJson = False) -> None:
    """Show a snapshot's progress, rate and remaining time until the snapshot ends.

    Ctrl-C ends the display, not the snapshot. Exits 1 if the snapshot ends before
    all rows are published.
    """
    with sentences_aside(as_json):
        is_full = await watched(api.api(), order, SystemClock())
    if as_json:
        print_json(await api.api().get(f"/snapshots/{order}"))
    if not is_full:
        raise typer.Exit(1)


async def _changed(api: ApiOptions, order: str, change: str, operator: OperatorOptions) -> JsonObject:
    return await api.api().post(f"/snapshots/{order}/{change}", by=operator.name)


def forecast_lines(forecast: JsonObject) -> Iterator[str]:
    """Yield the sentences that forecast a snapshot's cost."""
    if forecast["unknown"]:
        yield f"The cost is unknown: {forecast['unknown']}."
        return
    way = "with a query job of the Bulk API" if forecast["way"] == "bulk" else "over REST"
    yield f"The snapshot reads {counted(forecast['records'], 'record')} {way}: {forecast['cost']}."
    if forecast["seconds"] is not None:
        yield f"At the rate of earlier snapshots, the snapshot takes about {duration(forecast['seconds'])}."
    if forecast["waits"]:
        yield (
            f"The snapshot can't read all records now: {forecast['waits']}. The snapshot waits, and "
            "continues later."
        )


def _line(each: JsonObject) -> JsonObject:
    return {
        "BEGUN": at(each["begun_at"]),
        "CHANNEL": each["channel"],
        "ENTITY": each["entity"],
        "STATE": each["state"],
        "FOUND": each["found"],
        "PUBLISHED": each["published"],
        "DETAIL": with_reason(each["detail"], each),
        "ID": each["id"],
    }
