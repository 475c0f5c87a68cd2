"""The command `streamer explain`."""

from collections.abc import Sequence

import typer

from streamer.app.chains.verdicts import RouteVerdict, Verdicts
from streamer.app.plan import plan
from streamer.cli.failure import REFUSED, failures_reported
from streamer.cli.options import AsJson, Config
from streamer.cli.output import console, plain, print_json, print_table
from streamer.cli.routing.events import EventFile, EventType, GivenEvent, absence, events_of
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.events import JsonObject
from streamer.expressions.projection import ABSENT


def explain(
    file: EventFile, *, config: Config, event_type: EventType = None, as_json: AsJson = False
) -> None:
    """Show for each subscriber whether it gets an event, and why not.

    FILE holds CloudEvents, as Streamer writes them in structured mode, or only
    their data, as the values of Kafka's records. Nothing is connected or sent.
    Receipts and records that enrich looks up are those that FILE gives, beside
    an event's data, as receipts and by their names.

    Exits 0, or 1 when an expression fails on an event: a daemon would make a
    dead letter of it. Exits 2 for a mistake in the configuration or the file.
    """
    with failures_reported():
        checked = plan(load_document(config), SystemClock())
        names = checked.settings.subscribers
        verdicts = [
            (each, list(map(Verdicts(checked, each.event, each.more).of, names)))
            for each in events_of(file, event_type)
        ]
        if as_json:
            print_json({"events": [_as_json(given, found) for given, found in verdicts]})
        else:
            for number, (given, found) in enumerate(verdicts):
                _print(given, found, is_first=number == 0)
    if any(each.error for _, found in verdicts for each in found):
        raise typer.Exit(REFUSED)


def _print(given: GivenEvent, found: Sequence[RouteVerdict], *, is_first: bool) -> None:
    if not is_first:
        console().print()
    event = given.event
    console().print(plain(f"{event.type} {event.subject or event.id}"), soft_wrap=True)
    rows = [
        {"SUBSCRIBER": each.subscriber, "MATCHES": "yes" if each.matches else "no", "WHY NOT": each.why}
        for each in found
    ]
    print_table(rows, empty="No subscribers are configured.")
    for each in found:
        if each.absent:
            console().print(plain(f"{each.subscriber}: {absence(each.absent)}"), soft_wrap=True)


def _as_json(given: GivenEvent, found: Sequence[RouteVerdict]) -> JsonObject:
    return {
        "id": given.event.id,
        "type": given.event.type,
        "subject": given.event.subject,
        "subscribers": [
            {
                "name": each.subscriber,
                "matches": each.matches,
                "why_not": each.why or None,
                "error": each.error or None,
                # An absent field has no value.
                "absent_names": list(each.absent),
                "fields": {path: value for path, value in (each.fields or {}).items() if value is not ABSENT},
            }
            for each in found
        ],
    }
