"""The command `streamer publish`."""

import asyncio
import shlex
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from streamer.cli.operating.api_command import api_command
from streamer.cli.output import REFUSED, AsJson, Config, counted
from streamer.cli.publishing.parser import STDIN, Input, opened
from streamer.cli.publishing.sending import EventNumbers, PublishReport, Sending
from streamer.cli.signals import until_signalled
from streamer.clock import Clock, SystemClock
from streamer.configuration import load_document, load_section
from streamer.errors import ConfigurationError, StreamerError
from streamer.observe import logs
from streamer.ports import PublishTransport
from streamer.salesforce.auth.flows import Logins
from streamer.salesforce.publish.access import OrgAccess, event_name
from streamer.settings import OrgSettings

_INTERRUPTED = 130
_REQUEST_S = 30.0


def event_names(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a configured platform event, for the shell."""
    try:
        data: Any = load_document(context.params.get("config") or []).data
        paths = [each.get("path") if isinstance(each, dict) else each for each in data.get("channels") or ()]
        subscribers = (data.get("subscribers") or {}).values()
        paths += [each["settings"]["event"] for each in subscribers if each.get("uses") == "salesforce"]
    except (StreamerError, AttributeError, KeyError, TypeError):
        return []
    names = {str(path).removeprefix("/event/") for path in paths}
    return sorted(name for name in names if name.startswith(incomplete) and name.endswith("__e"))


Event = Annotated[
    str,
    typer.Argument(
        metavar="EVENT",
        help="The platform event's API name, such as Order_Placed__e.",
        autocompletion=event_names,
    ),
]
File = Annotated[
    Path,
    typer.Argument(metavar="[FILE]", help="File with the events in JSON; - stands for the standard input."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishOptions:
    """Options that choose the events and the way to send them."""

    transport: Annotated[
        PublishTransport,
        typer.Option(
            metavar="|".join(PublishTransport),
            help=(
                "Salesforce's API that takes the events: pubsub, or rest, which does not accept "
                "Streamer's event ids."
            ),
        ),
    ] = PublishTransport.PUBSUB
    id_field: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="A text field of the event that also gets the event's id.",
            show_default="none",
        ),
    ] = None
    run_id: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Id of an earlier run: each event gets the same event id as in that run.",
            show_default="a new one",
        ),
    ] = None
    skip: Annotated[
        int,
        typer.Option(min=0, metavar="NUMBER", help="Number of events to skip at the beginning of the input."),
    ] = 0
    retry_for: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Longest time to retry while Salesforce can't take events."
        ),
    ] = 120.0

    def sending(self, topic: str, report: PublishReport, clock: Clock) -> Sending:
        """Return the sender of the events to `topic`."""
        return Sending(
            topic=topic,
            report=report,
            clock=clock,
            numbers=EventNumbers(run_id=self.run_id or str(uuid.uuid4()), id_field=self.id_field),
            skip=self.skip,
            retry_for_s=self.retry_for,
        )


@api_command
async def publish(
    event: Event, options: PublishOptions, *, config: Config, file: File = STDIN, as_json: AsJson = False
) -> None:
    """Publish platform events to the configured org, in the order of the input.

    The input is one JSON object, a JSON list of objects, or one JSON object per
    line. Each object holds the fields of one event. Write a date as `2025-01-31`
    and a date-time as `2025-01-31T12:00:00Z`; a missing field is null. For each
    refused event, the command prints the line number and the reason on standard
    error, and continues with the next event.

    Events are published at least once: if an answer is lost, the command sends the
    events again with the same ids. Over the Pub/Sub API, the id is the event's
    EventUuid. After Ctrl-C, the command finishes the request under way, and prints
    how to continue.

    Exits 0 when every event was published, 1 when an event was not published, 2
    when the configuration has a mistake, 130 after Ctrl-C.
    """
    name, clock = _checked(event), SystemClock()
    settings = load_section(load_document(config), "org", OrgSettings)
    org = OrgAccess(settings=settings, clock=clock, logins=Logins(clock))
    with opened(file) as source:
        report = PublishReport(size=source.size, as_json=as_json)
        sending = options.sending(name, report, clock)
        logs.configure("auto", "error")
        try:
            with report:
                await until_signalled(partial(_sent, sending, org, options.transport, source))
        finally:
            _conclude(sending, report)
    if not sending.is_complete:
        raise typer.Exit(_INTERRUPTED)
    if report.refused:
        raise typer.Exit(REFUSED)


async def _sent(
    sending: Sending, org: OrgAccess, transport: PublishTransport, source: Input, stopping: asyncio.Event
) -> None:
    if source.is_terminal:
        sending.report.note("Reading events from the terminal; Ctrl-D ends them.")
    async with org.publisher(transport, timeout_s=_REQUEST_S) as publisher:
        await sending.run(publisher, source, stopping)


def _conclude(sending: Sending, report: PublishReport) -> None:
    """Print the counts, and how to continue if input is left."""
    report.total(sending.topic)
    if not sending.is_complete:
        report.note(
            f"The command stopped after {counted(sending.done, 'event')} of the input. To continue, "
            f"repeat the command with --run-id {shlex.quote(sending.numbers.run_id)} --skip "
            f"{sending.done}. An event that is published twice then has the same id both times."
        )


def _checked(event: str) -> str:
    try:
        return event_name(event)
    except ValueError as error:
        raise ConfigurationError(f"EVENT: found {event!r}; {error}") from None
