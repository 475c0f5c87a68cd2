"""The commands `streamer events …`, and the tree of an event's story."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from streamer.cli.lazy import HelpfulCommand, HelpfulGroup
from streamer.cli.operating.api_command import ApiOptions, api_command, moment
from streamer.cli.output import AsJson, at, console, counted, plain, print_json, print_table, working
from streamer.events import EventOutcome, JsonObject
from streamer.observe.durations import difference
from streamer.observe.exchanges import exchange_lines

_STYLES = {
    "delivered": "green",
    "filtered": "dim",
    "dead_letter": "red",
    "parked": "yellow",
    "waiting": "yellow",
}


def story_tree(story: JsonObject) -> Tree:
    """Return the API's answer as a tree. A subscriber is shown below the first subscriber that it follows."""
    event = story["event"]
    title = f"{event['type']} {event['subject'] or event['key']}" if event else "unreadable event"
    root = Tree(Text.assemble((plain(title).plain, "bold")))
    if event:
        root.add(plain(f"id {event['id']}"))
    for sentence in story["said"]:
        root.add(plain(sentence))
    _add_timeline(root, story.get("timeline", ()))
    below: dict[str, Tree] = {}
    waiting = list(story["subscribers"])
    while waiting:
        # A subscriber is added after its predecessors. The configuration allows no cycle.
        ready = [each for each in waiting if not each["after"] or each["after"][0] in below]
        for each in ready or waiting:
            parent = below.get(each["after"][0], root) if each["after"] else root
            below[each["name"]] = _add_account(parent, each)
        waiting = [each for each in waiting if each["name"] not in below]
    if story["not_kept"]:
        missing = root.add("The log does not keep these facts:")
        for sentence in story["not_kept"]:
            missing.add(plain(sentence))
    return root


def _add_timeline(root: Tree, steps: Sequence[JsonObject]) -> None:
    """Add what happened to the event, in order, with the time since the step before."""
    if not steps:
        return
    branch = root.add("Steps, in order:")
    for step in steps:
        # Milliseconds tell two steps apart.
        time = step["at"][:23].replace("T", " ") if step["at"] else "time not kept"
        since = "" if step["since_s"] is None else difference(step["since_s"])
        took = f" It took {step['seconds']:.3f} s." if step["seconds"] is not None else ""
        who = f"{step['subscriber']}: " if step["subscriber"] else ""
        detail = f" {_short(step['detail'])}" if step["detail"] else ""
        told = branch.add(plain(f"{time:23} {since:>12}  {who}{step['said']}{took}{detail}"))
        for line in exchange_lines(step):
            told.add(plain(line))


def _add_account(parent: Tree, account: JsonObject) -> Tree:
    state = account["state"]
    label = plain(f"{account['name']} ({account['uses']}): ")
    label.append(state.replace("_", " "), style=_STYLES.get(state, ""))
    branch = parent.add(label)
    for sentence in account["said"]:
        branch.add(plain(sentence))
    for receipt in account["receipts"]:
        if receipt["answer"]:
            branch.add(plain(f"The target's answer: {_short_answer(receipt['answer'])}"))
    for sentence in account["next_steps"]:
        branch.add(plain(f"→ {sentence}"))
    return branch


def _short_answer(answer: JsonObject) -> str:
    return _short(", ".join(f"{name} {value}" for name, value in answer.items()))


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"  # noqa: PLR2004 - a few lines of a terminal


events = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Find events in the log, and show the outcome of an event at every subscriber.

    The log holds the events, so you can send the command to any process.

    Exits 0 on success, 1 when the daemon refuses or can't be reached, or when the
    log holds nothing about the event, 2 for a mistake in the arguments.
    """,
)
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        metavar="PATTERN",
        help=(
            "Only events of this type; * stands for any characters; can be given several times.  "
            "[default: any]"
        ),
    ),
]
Channel = Annotated[
    str | None,
    typer.Option(
        metavar="PATH", help="Only events of this channel, such as /data/ChangeEvents.  [default: any]"
    ),
]


WantedOutcome = Annotated[
    EventOutcome | None,
    typer.Option(
        "--outcome",
        metavar="WORD",
        help=f"Only events with this outcome at any subscriber: {', '.join(EventOutcome)}.  [default: any]",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanOptions:
    """Options that bound the time of events."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions(SpanOptions):
    """Options that filter events, bound a search, and continue one."""

    types: Types = None
    channel: Channel = None
    limit: Annotated[
        int,
        typer.Option("--limit", "-n", min=1, max=1_000, metavar="NUMBER", help="Maximum number of events."),
    ] = 50

    oldest_first: Annotated[
        bool, typer.Option("--oldest-first", help="Begin with the oldest event instead of the newest.")
    ] = False
    every_partition: Annotated[
        bool,
        typer.Option(
            "--every-partition",
            help=(
                "Also search the partitions that held the record's events before the topic got more "
                "partitions."
            ),
        ),
    ] = False
    scan: Annotated[
        int,
        typer.Option(
            min=1_000, max=2_000_000, metavar="NUMBER", help="Maximum number of offsets to search in the log."
        ),
    ] = 100_000
    cursor: Annotated[
        str | None,
        typer.Option(
            metavar="CURSOR",
            help=("Continue at this cursor, which an earlier search printed.  [default: a new search]"),
        ),
    ] = None


@events.command(cls=HelpfulCommand)
@api_command
async def find(
    where: ApiOptions,
    search: SearchOptions,
    *,
    record: Annotated[
        str | None,
        typer.Argument(
            metavar="RECORD_ID",
            help=(
                "Only events of the record with this id (15 or 18 characters), or with this key.  "
                "[default: any]"
            ),
        ),
    ] = None,
    outcome: WantedOutcome = None,
    as_json: AsJson = False,
) -> None:
    """Show events in the log, the newest first.

    A search reads a limited number of offsets. With --outcome, it also compares at
    most 1,000 events. If a search stops before it has searched the whole log, the
    command shows how far the search got and how to continue. TIME is the time of the
    change in Salesforce.
    """
    with working("Searching"):
        answer = await where.api().get(
            "/events",
            record=record,
            type=joined(search.types),
            channel=search.channel,
            since=search.since,
            until=search.until,
            order="oldest" if search.oldest_first else None,
            every_partition="true" if search.every_partition else None,
            outcome=outcome,
            limit=search.limit,
            scan=search.scan,
            cursor=search.cursor,
        )
    if as_json:
        print_json(answer)
        return
    print_table(map(_line, answer["events"]), empty="No events found.", whole="ID")
    for sentence in _bounds(answer, oldest_first=search.oldest_first):
        console().print(plain(sentence), soft_wrap=True)


@events.command(cls=HelpfulCommand)
@api_command
async def show(
    event: Annotated[
        str, typer.Argument(metavar="ID", help="The event's id; `streamer events find` shows ids.")
    ],
    where: ApiOptions,
    span: SpanOptions,
    *,
    types: Types = None,
    scan: Annotated[
        int,
        typer.Option(
            min=1_000, max=2_000_000, metavar="NUMBER", help="Maximum number of offsets to search in the log."
        ),
    ] = 1_000_000,
    as_json: AsJson = False,
) -> None:
    """Show what happened to one event in order, and the event's outcome at each subscriber.

    The times are in UTC, each with the time since the step before. A subscriber with
    `after` is shown below the subscriber that it waits for. The last lines name the
    facts that the log does not keep. With --json, the command also prints the event's
    data.
    """
    with working("Reading"):
        answer = await where.api().get(
            f"/events/{event}",
            type=joined(types),
            since=span.since,
            until=span.until,
            scan=scan,
        )
    if as_json:
        print_json(answer)
    else:
        console().print(story_tree(answer))


def joined(types: Sequence[str] | None) -> str | None:
    """Return patterns of event types as one text, in the form that the API accepts."""
    return ",".join(types) if types else None


def line_of(event: JsonObject) -> JsonObject:
    """Return the columns of an event in a list, without its id."""
    changed = event.get("changed_fields") or []
    return {
        "TIME": at(event["time"]),
        "TYPE": event["type"],
        "RECORD": event["subject"] or event["key"],
        "CHANGED": ", ".join(map(str, changed)),
    }


def _line(event: JsonObject) -> JsonObject:
    outcomes = event.get("outcomes")
    shown = {} if outcomes is None else {"OUTCOME": _outcomes(outcomes)}
    return {**line_of(event), **shown, "ID": event["id"]}


def _outcomes(outcomes: JsonObject) -> str:
    """Return the outcomes of one event; `skipped` only if every subscriber skips the event."""
    selected = {name: each for name, each in outcomes.items() if each != EventOutcome.SKIPPED}
    return ", ".join(f"{name} {each}" for name, each in (selected or outcomes).items())


def _bounds(answer: JsonObject, *, oldest_first: bool) -> list[str]:
    """Return how much a search compared, where an unfinished search stopped, and how to continue it."""
    said = []
    if "examined" in answer:
        said.append(f"\nCompared the outcomes of {counted(answer['examined'], 'event')} with --outcome.")
    if answer["is_whole"]:
        return said
    reached = answer["reached"]
    direction = "up" if oldest_first else "back"
    until = f", {direction} to {at(reached)}" if reached else ""
    said += [f"\nThe search read only a part of the log: {counted(answer['scanned'], 'offset')}{until}."]
    if answer["cursor"]:
        said.append(f"To continue, repeat the command with --cursor {answer['cursor']}")
    else:
        said.append("To find more, narrow the search with --type, --since or a record's id.")
    return said
