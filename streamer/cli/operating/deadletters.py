"""The commands `streamer deadletters …`."""

from dataclasses import asdict
from typing import Annotated

import typer

from streamer.cli.lazy import HelpfulCommand, HelpfulGroup
from streamer.cli.operating.api import Api
from streamer.cli.operating.api_command import (
    ApiOptions,
    OperatorOptions,
    api_command,
    letter_ids,
    redrive_ids,
)
from streamer.cli.operating.letter_options import (
    ChosenLetterOptions,
    ConfirmationOptions,
    LetterOptions,
)
from streamer.cli.output import (
    AsJson,
    at,
    by_reason,
    console,
    counted,
    plain,
    print_json,
    print_table,
    sentences_aside,
    working,
)
from streamer.cli.progress import followed
from streamer.clock import SystemClock
from streamer.events import JsonObject
from streamer.observe.exchanges import exchange_lines

deadletters = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""List, redrive and discard dead letters: events that could not be read or delivered.

    The log holds the dead letters, so you can send the command to any process.

    Exits 0 on success, 1 when an id is unknown, or the daemon refuses or
    can't be reached, 2 for a mistake in the arguments.
    """,
)

_OLD_EVENTS = (
    "The events of these dead letters enter the log now, after newer events of the same records. "
    "Each event carries `data.redriven`. After each change event, Streamer appends an event with the "
    "record's present state."
)

PerSecond = Annotated[
    float,
    typer.Option(
        min=0.01,
        max=1_000,
        metavar="NUMBER",
        help="Maximum number of dead letters to redrive per second, for each subscriber in each process.",
    ),
]


@deadletters.command("list", cls=HelpfulCommand)
@api_command
async def list_(
    letters: LetterOptions,
    where: ApiOptions,
    *,
    last: Annotated[
        int,
        typer.Option(
            "--last", "-n", min=1, max=1_000, metavar="NUMBER", help="Maximum number of dead letters."
        ),
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the latest dead letters, the newest last, and the number of dead letters for each reason."""
    answer = await where.api().get("/dead-letters", **asdict(letters), last=last)
    if as_json:
        print_json(answer)
        return
    print_table(map(_line, answer["letters"]), empty="No dead letters.", whole="ID")
    if answer["total"]:
        shown = len(answer["letters"])
        console().print(
            f"\n{shown:,} of {answer['total']:,} shown: ", plain(by_reason(answer["by_reason"])), sep=""
        )


@deadletters.command(cls=HelpfulCommand)
@api_command
async def show(
    letter: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="The dead letter's id; `streamer deadletters list` shows ids.",
            autocompletion=letter_ids,
        ),
    ],
    where: ApiOptions,
    *,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with its errors, the target's answer, and the event."""
    answer = await where.api().get(f"/dead-letters/{letter}")
    if as_json:
        print_json(answer)
        return
    event, attempts = answer.pop("event"), answer.pop("failed_attempts", ())
    for key, value in answer.items():
        if value not in {None, ""}:
            console().print(f"[bold]{key}[/]: ", plain(value), sep="", soft_wrap=True)
    for each in attempts:
        said = f"{each['at']}, after {each['seconds']:.3f} s ({each['class']}): {each['error']}"
        console().print("[bold]failed attempt[/]: ", plain(said), sep="", soft_wrap=True)
        for line in exchange_lines(each):
            console().print("  ", plain(line), sep="", soft_wrap=True)
    if event is not None:
        console().print("[bold]event[/]:")
        console().print_json(data=event, highlight=console().is_terminal)


@deadletters.command(cls=HelpfulCommand)
@api_command
async def redrive(
    letters: ChosenLetterOptions,
    where: ApiOptions,
    confirmation: ConfirmationOptions,
    *,
    per_second: PerSecond = 10.0,
    include_superseded: Annotated[
        bool,
        typer.Option(
            "--include-superseded",
            help="Also deliver dead letters although a later event of the same key was already delivered.",
        ),
    ] = False,
    wait: Annotated[
        bool, typer.Option(help="Wait for the end of the redrive, and show its progress.")
    ] = True,
) -> None:
    """Deliver dead letters again: in order for each key, and within the target's limits.

    With --channel, ingest reads the dead letters of that channel again, and appends
    their events to the log, after newer events. A dead letter that is still
    unreadable stays. The command first counts the dead letters, and asks for
    confirmation. The redrive covers only the counted dead letters; an event that
    fails again becomes a new dead letter. Each process redrives the dead letters of
    its own partitions, at the given rate. Ctrl-C ends the display, not the redrive;
    `streamer deadletters cancel` ends the redrive. The command also exits 1 if an
    operator cancels the redrive.
    """
    asked = asdict(letters) | {"per_second": per_second, "include_superseded": include_superseded}
    asked["by"] = confirmation.name
    with sentences_aside(confirmation.as_json):
        answer, is_whole = await _redrive(where.api(), asked, confirmation, wait=wait)
    if confirmation.as_json:
        print_json(answer)
    if not is_whole:
        raise typer.Exit(1)


@deadletters.command(cls=HelpfulCommand)
@api_command
async def cancel(
    order: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="The redrive's id; `streamer deadletters redrive` and `streamer audit` show ids.",
            autocompletion=redrive_ids,
        ),
    ],
    where: ApiOptions,
    operator: OperatorOptions,
    *,
    as_json: AsJson = False,
) -> None:
    """Cancel an open redrive in every process.

    Streamer still delivers the events that were already redriven; the remaining
    dead letters stay.
    """
    done = await where.api().post(f"/redrives/{order}/cancel", by=operator.name)
    if as_json:
        print_json(done)
        return
    console().print(
        f"Redrive {done['id']} is cancelled in every process; {counted(done['left'], 'dead letter')} "
        "left. Streamer still delivers the events that were already redriven."
    )


@deadletters.command(cls=HelpfulCommand)
@api_command
async def discard(letters: ChosenLetterOptions, where: ApiOptions, confirmation: ConfirmationOptions) -> None:
    """Remove dead letters for good, unless an open redrive covers them.

    The command first counts the dead letters, and asks for confirmation. It removes
    only the counted dead letters. The audit records the operator's name.
    """
    asked = {**asdict(letters), "by": confirmation.name}
    with sentences_aside(confirmation.as_json):
        answer = await _discard(where.api().for_long_requests, asked, confirmation)
    if confirmation.as_json:
        print_json(answer)


async def _discard(api: Api, asked: JsonObject, confirmation: ConfirmationOptions) -> JsonObject:
    """Count, ask and discard; return the API's last answer."""
    with working("Counting"):
        counts = await api.post("/dead-letters/discard", **asked, dry_run=True)
        await _check_ids(api, asked["ids"], counts["total"])
    print_table(map(_discarded, counts["by_subscriber"].items()), empty="No dead letters match.")
    console().print("By reason: ", plain(by_reason(counts["by_reason"])), sep="")
    if not confirmation.given(f"Remove {counted(counts['total'], 'dead letter')} for good?", counts["total"]):
        return counts
    with working("Removing"):
        done = await api.post("/dead-letters/discard", **{**asked, "until": counts["until"]})
    console().print(f"{counted(done['total'], 'dead letter')} removed.")
    return done


async def _redrive(
    api: Api, asked: JsonObject, confirmation: ConfirmationOptions, *, wait: bool
) -> tuple[JsonObject, bool]:
    """Count, ask, order and follow a redrive; return the API's last answer.

    The second result is false if the redrive was cancelled.
    """
    with working("Counting"):
        counts = await api.for_long_requests.post("/dead-letters/redrive", **asked, dry_run=True)
        await _check_ids(api.for_long_requests, asked["ids"], counts["matching"])
    question = _previewed(asked["channel"], counts, asked["per_second"])
    if not confirmation.given(question, counts["deliverable"] - counts["superseded"]):
        return counts, True
    with working("Ordering"):
        found = await api.for_long_requests.post(
            "/dead-letters/redrive", **{**asked, "until": counts["until"]}
        )
    if not found["redrives"]:
        console().print(
            "Nothing is left to deliver: the dead letters were redriven or discarded after the count."
        )
    elif wait:
        ordered = found["deliverable"] - found["superseded"]
        if not await followed(api, found["redrives"], ordered, SystemClock()):
            return found, False
        if asked["channel"] is not None:
            await _tell_unread(api, asked["channel"], counts["until"])
    else:
        console().print(
            f"Redrive ordered: {', '.join(found['redrives'])}. `streamer audit` shows the result."
        )
    return found, True


async def _check_ids(api: Api, ids: list[str] | None, matching: int) -> None:
    """Raise `ApiRefused` for an unknown id; an id that the other options exclude raises no error."""
    # Each request reads the heads of all dead letters. If all ids match, no request is needed.
    if ids and matching < len(set(ids)):
        for each in dict.fromkeys(ids):
            await api.get(f"/dead-letters/{each}")


def _line(letter: JsonObject) -> JsonObject:
    return {
        "FAILED": at(letter["failed_at"]),
        "SUBSCRIBER": letter["subscriber"] or "(none)",
        "KEY": letter["key"],
        "REASON": letter["reason"],
        "ERROR": letter["error"],
        "ID": letter["id"],
    }


def _redriven(item: tuple[str, JsonObject]) -> JsonObject:
    name, counts = item
    return {
        "SUBSCRIBER": name or "(none)",
        "MATCHING": counts["matching"],
        "TO DELIVER": counts["deliverable"] - counts["superseded"],
        "SUPERSEDED": counts["superseded"],
        "NOT DELIVERABLE": counts["matching"] - counts["deliverable"],
        "REASONS": by_reason(counts["by_reason"]),
    }


def _previewed(channel: str | None, counts: JsonObject, per_second: float) -> str:
    """Show what a redrive would do, and return the question."""
    chosen = counts["deliverable"] - counts["superseded"]
    if channel is None:
        print_table(map(_redriven, counts["subscribers"].items()), empty="No dead letters match.")
        return f"Deliver {counted(chosen, 'event')} again, {per_second:g} per second?"
    print_table(_read_again(channel, counts), empty="No dead letters match.")
    if chosen:
        console().print(_OLD_EVENTS)
    return f"Read {counted(chosen, 'dead letter')} again, {per_second:g} per second?"


def _read_again(channel: str, counts: JsonObject) -> list[JsonObject]:
    if not counts["matching"]:
        return []
    return [
        {
            "CHANNEL": channel,
            "MATCHING": counts["matching"],
            "TO READ": counts["deliverable"],
            "NOT READABLE": counts["matching"] - counts["deliverable"],
            "REASONS": by_reason(counts["by_reason"]),
        }
    ]


async def _tell_unread(api: Api, channel: str, since: str) -> None:
    """Print how many dead letters of `channel` have failed since `since`, when a redrive was ordered."""
    unread = (await api.get("/dead-letters", channel=channel, since=since, last=1))["total"]
    if unread:
        console().print(
            f"After the redrive, the channel has {counted(unread, 'dead letter')}: events that still "
            "can't be read or stored, and new failures. `streamer deadletters list --channel "
            f"{channel}` shows the reasons."
        )


def _discarded(item: tuple[str, int]) -> JsonObject:
    return {"SUBSCRIBER": item[0] or "(none)", "TO REMOVE": item[1]}
