"""The command `streamer explain`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from streamer.app import plan
from streamer.app.plan import Plan
from streamer.cli.failure import REFUSED, failures_reported
from streamer.cli.operating.api_command import AsJson
from streamer.cli.options import Config
from streamer.cli.output import console, plain, print_json, print_table
from streamer.cli.routing.events import EventFile, EventType, GivenEvent, events_of
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.dispatch.attempt.operands import operands
from streamer.dispatch.attempt.projection import ABSENT
from streamer.dispatch.attempt.route import event_document
from streamer.errors import BrokenRoute
from streamer.events import JsonObject, SubscriberName
from streamer.exact_json import exact_json
from streamer.log.patterns import wants
from streamer.settings import SubscriberSettings

_SHOWN = 80


def explain(
    file: EventFile, *, config: Config, event_type: EventType = None, as_json: AsJson = False
) -> None:
    """Show for each subscriber whether it gets an event, and why not.

    FILE holds CloudEvents, as Streamer writes them in structured mode, or only
    their data, as the values of Kafka's records. Nothing is connected or sent.

    Exits 0, or 1 when an expression fails on an event: a daemon would make a
    dead letter of it. Exits 2 for a mistake in the configuration or the file.
    """
    with failures_reported():
        checked = plan(load_document(config), SystemClock())
        verdicts = [(each, list(_verdicts(checked, each))) for each in events_of(file, event_type)]
        if as_json:
            print_json({"events": [_as_json(given, found) for given, found in verdicts]})
        else:
            for number, (given, found) in enumerate(verdicts):
                _print(given, found, is_first=number == 0)
    if any(each.error for _, found in verdicts for each in found):
        raise typer.Exit(REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of an event at one subscriber: it `matches`, or `why` not.

    `error` is the sentence of an expression that fails. `fields` are those that
    `when` looks at, with their values.
    """

    subscriber: SubscriberName
    matches: bool
    why: str
    error: str = ""
    fields: Mapping[str, Any] | None = None


def _verdicts(checked: Plan, given: GivenEvent) -> Iterator[Verdict]:
    for name, settings in checked.settings.subscribers.items():
        if wants(settings.on)(given.event.type):
            yield _of_expressions(checked, name, settings, given)
        else:
            patterns = ", ".join(settings.on)
            yield Verdict(subscriber=name, matches=False, why=f"on selects other types: {patterns}")


def _of_expressions(
    checked: Plan, name: SubscriberName, settings: SubscriberSettings, given: GivenEvent
) -> Verdict:
    route = checked.routes[name]
    more = {each: given.more[each] for each in route.more if each in given.more}
    fields = operands(settings.when, event_document(given.event, more)) if settings.when else None
    try:
        if not route.admits(given.event, more):
            why = "; ".join(["when does not hold", *_shown(fields or {})])
            return Verdict(subscriber=name, matches=False, why=why, fields=fields)
        route.delivery(given.event, attempt=1, more=more)
    except BrokenRoute as error:
        return Verdict(
            subscriber=name, matches=False, why=f"dead letter: {error}", error=str(error), fields=fields
        )
    return Verdict(subscriber=name, matches=True, why="", fields=fields)


def _shown(fields: Mapping[str, Any]) -> Sequence[str]:
    return [f"{path} is {_text(value)}" for path, value in fields.items()]


def _text(value: Any) -> str:
    if value is ABSENT:
        return "absent"
    text = exact_json(value).decode()
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _print(given: GivenEvent, found: Sequence[Verdict], *, is_first: bool) -> None:
    if not is_first:
        console().print()
    event = given.event
    console().print(plain(f"{event.type} {event.subject or event.id}"), soft_wrap=True)
    rows = [
        {"SUBSCRIBER": each.subscriber, "MATCHES": "yes" if each.matches else "no", "WHY NOT": each.why}
        for each in found
    ]
    print_table(rows, empty="No subscribers are configured.")


def _as_json(given: GivenEvent, found: Sequence[Verdict]) -> JsonObject:
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
                "fields": {path: value for path, value in (each.fields or {}).items() if value is not ABSENT},
            }
            for each in found
        ],
    }
