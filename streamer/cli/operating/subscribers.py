"""The commands `streamer subscribers …` and `streamer parked …`."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from streamer.cli.lazy import HelpfulCommand, HelpfulGroup
from streamer.cli.operating.api_command import (
    ApiOptions,
    Name,
    OperatorOptions,
    api_command,
    subscriber_names,
)
from streamer.cli.output import AsJson, at, console, plain, print_json, print_missing, print_table
from streamer.errors import ConfigurationError
from streamer.events import JsonObject
from streamer.observe.durations import duration

_WITHOUT_DATA = (
    "Nothing was sent, because the test event has no record fields. Add fields with --data FILE, such as "
    '{"fields": {"Name": "Acme"}}.'
)

subscribers = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""List, pause, resume, probe and test the subscribers of a running daemon.

    The log holds the pauses, so you can send the command to any process. The list
    adds up all processes that share a log in Kafka and whose console is on.

    Exits 0 on success, 1 when the daemon refuses or can't be reached, 2
    for a mistake in the arguments.
    """,
)
parked = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""List parked keys: keys whose events wait in the log because the first event keeps failing.

    The list has all keys of the process that answers. Of each other process that
    shares the log in Kafka, the list has the 50 keys that are due first.

    Exits 0 on success, 1 when the daemon refuses or can't be reached, 2
    for a mistake in the arguments.
    """,
)


@subscribers.command("list", cls=HelpfulCommand)
@api_command
async def list_(where: ApiOptions, *, as_json: AsJson = False) -> None:
    """Show each subscriber's state, the operator and the reason of a pause, and the counts of its events.

    STATE is delivering, failing (attempts fail, and events wait), late, held, target
    down, paused, can't start (its plugin can't be opened), or not here (no process
    that answers delivers to the subscriber).

    LAG counts the events in the log that are not settled yet. WAITING counts the
    unsettled events that are in memory.
    """
    answer = await where.api().get("/subscribers")
    if as_json:
        print_json(answer)
    else:
        print_table(map(_line, answer["subscribers"]), empty="No subscribers are configured.")
        print_missing(answer)


@subscribers.command(cls=HelpfulCommand)
@api_command
async def pause(
    name: Name,
    where: ApiOptions,
    operator: OperatorOptions,
    *,
    reason: Annotated[
        str,
        typer.Option("--reason", "-r", metavar="TEXT", help="Reason, for other operators.  [default: none]"),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Stop deliveries in every process until you resume them, even across restarts.

    Events wait in the log. Attempts under way still finish. If the subscriber is
    already paused, the first pause keeps its reason; the audit records both
    reasons.
    """
    answer = await where.api().post(f"/subscribers/{name}/pause", reason=reason, by=operator.name)
    if as_json:
        print_json(answer)
    elif answer["was_paused"]:
        why = f": {answer['reason']}" if answer["reason"] else ""
        console().print(plain(f"{name} was already paused by {answer['by']} at {at(answer['since'])}{why}"))
    else:
        console().print(
            f"{name} is paused in every process. `streamer subscribers resume {name}` ends the pause."
        )


@subscribers.command(cls=HelpfulCommand)
@api_command
async def resume(
    name: Name, where: ApiOptions, operator: OperatorOptions, *, as_json: AsJson = False
) -> None:
    """Resume deliveries in every process, after a pause by an operator, the guard or the target."""
    answer = await where.api().post(f"/subscribers/{name}/resume", by=operator.name)
    if as_json:
        print_json(answer)
        return
    console().print(f"{name} delivers again in every process.")


@subscribers.command(cls=HelpfulCommand)
@api_command
async def probe(name: Name, where: ApiOptions, operator: OperatorOptions, *, as_json: AsJson = False) -> None:
    """Try a held or failing target now, before the hold or the open breaker ends.

    The command affects only the process that answers. If the target still fails,
    Streamer holds deliveries again.
    """
    answer = await where.api().post(f"/subscribers/{name}/probe", by=operator.name)
    if as_json:
        print_json(answer)
    elif answer["was_held"]:
        console().print(
            plain(f"Streamer tries {name} now. Deliveries waited for this reason: {answer['was_held']}")
        )
        console().print("`streamer subscribers list` shows the result.")
    else:
        console().print(f"Nothing delays deliveries to {name} in this process.")


@subscribers.command("test", cls=HelpfulCommand)
@api_command
async def try_out(
    name: Name,
    where: ApiOptions,
    operator: OperatorOptions,
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON file with the event's data, for a body or text that reads data, such as "
            '{"fields": {"Name": "Acme"}}.  [default: none]',
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send one test event to a target, through the subscriber's body, text and plugin.

    The event's type is streamer.test. The event enters neither the log nor the
    queue, and `when` does not apply. The target can't tell the test event from a
    real event. Exits 0 if the event was delivered.
    """
    answer = await where.api().post(f"/subscribers/{name}/test", data=_read(data), by=operator.name)
    if as_json:
        print_json(answer)
    else:
        for key, value in answer.items():
            if value not in {None, ""}:
                console().print(f"{key}: ", plain(value), sep="", soft_wrap=True)
        if answer["outcome"] == "skip" and data is None:
            console().print(plain(_WITHOUT_DATA), soft_wrap=True)
    if answer["outcome"] != "delivered":
        raise typer.Exit(1)


def _read(path: Path | None) -> JsonObject | None:
    if path is None:
        return None
    try:
        data = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{path}: can't be read as JSON: {error}") from None
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path}: must hold a JSON object")
    return data


def _line(subscriber: JsonObject) -> JsonObject:
    total = subscriber["total"] or {}
    return {
        "SUBSCRIBER": subscriber["name"],
        "USES": subscriber["uses"],
        "STATE": subscriber["state"],
        "LAG": total.get("lag"),
        "OLDEST": duration(total["oldest_waits_s"]) if total.get("lag") else None,
        "IN FLIGHT": total.get("in_flight"),
        "WAITING": total.get("waiting"),
        "PARKED": total.get("parked"),
        "SINCE": at(subscriber["since"]),
        "BY": subscriber["by"],
        "WHY": subscriber["reason"] if subscriber["switch"] == "paused" else _why(total),
    }


def _why(here: JsonObject) -> str | None:
    """Return the reason why deliveries wait, the last error, and the time of the next attempt."""
    failing = here.get("failing")
    # Refused credentials are both the hold and the last failure; one mention is enough.
    is_told = failing is not None and failing["error"] == here["held"]
    reasons = [here["late"]] if here.get("late") else []
    reasons += [here["held"]] if here.get("held") and not is_told else []
    if failing:
        last = f"last at {at(failing['at'])} ({failing['class']}): {failing['error']}"
        begin = here.get("down_since") or failing["since"]
        reasons.append(f"{failing['count']} failed since {at(begin)}, {last}")
    if reasons and here.get("next_try"):
        reasons.append(f"the next attempt is at {at(here['next_try'])}")
    return "; ".join(each.removesuffix(".") for each in reasons) or None


@parked.command("list", cls=HelpfulCommand)
@api_command
async def list_parked(
    where: ApiOptions,
    *,
    subscriber: Annotated[
        str | None,
        typer.Argument(
            metavar="SUBSCRIBER",
            help="Only keys of this subscriber.  [default: any]",
            autocompletion=subscriber_names,
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Only this key, such as a record's id.  [default: any]")
    ] = None,
    first: Annotated[
        int, typer.Option("--first", "-n", min=1, max=1_000, metavar="NUMBER", help="Maximum number of keys.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the parked keys, with the attempts so far and the last error, in the order of the next attempt.

    STATE is waiting (until the time of the next attempt), due (the attempt waits
    for other deliveries, or for the end of a pause) or trying (an attempt runs).
    """
    answer = await where.api().get("/parked", subscriber=subscriber, key=key, first=first)
    if as_json:
        print_json(answer)
        return
    print_table(map(_parked_line, answer["parked"]), empty="No parked keys.", whole="KEY")
    if answer["total"]:
        by_name = ", ".join(f"{name} {count:,}" for name, count in answer["by_subscriber"].items() if count)
        shown = f"\n{len(answer['parked']):,} of {answer['total']:,} shown: "
        console().print(shown, plain(by_name), sep="")
    if answer["not_here"]:
        console().print(
            "Subscribers to which no process that answers delivers: ",
            plain(", ".join(answer["not_here"])),
            sep="",
        )
    print_missing(answer)


def _parked_line(parked_key: JsonObject) -> JsonObject:
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
