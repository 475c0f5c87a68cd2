"""The commands `streamer render` and `streamer explain`."""

import difflib
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from streamer.app.chains.route_tests import previewed
from streamer.app.chains.verdicts import RouteVerdict, Verdicts, given_names, requests_of
from streamer.app.plan import Plan, plan
from streamer.cli.output import (
    REFUSED,
    AsJson,
    Config,
    console,
    failures_reported,
    plain,
    print_json,
    print_table,
)
from streamer.cli.routing.events import EventFile, EventType, GivenEvent, absence, events_of
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.errors import BrokenRoute, ConfigurationError, StreamerError
from streamer.events import JsonObject, Outcome, Reject, Skip, SubscriberName
from streamer.expressions.projection import ABSENT
from streamer.ports import Preview


def configured_subscribers(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a configured subscriber, for the shell."""
    try:
        data: Any = load_document(context.params.get("config") or []).data
        names = [str(name) for name in data.get("subscribers") or ()]
    except (StreamerError, AttributeError, TypeError):
        return []
    return sorted(name for name in names if name.startswith(incomplete))


Name = Annotated[
    str,
    typer.Argument(
        metavar="SUBSCRIBER",
        help="The subscriber's name in the configuration.",
        autocompletion=configured_subscribers,
    ),
]


def render(
    subscriber: Name,
    file: EventFile,
    *,
    config: Config,
    event_type: EventType = None,
    as_json: AsJson = False,
) -> None:
    """Print the request that a subscriber would send for an event, with headers; `***` hides secrets.

    FILE holds CloudEvents (as Streamer writes them in structured mode), or only the
    events' data (as in the values of Kafka's records). Beside an event's data, FILE
    can also hold `receipts`, and the records that enrich looks up, by the names of
    the look-ups. The command makes no connection and sends nothing. If FILE lacks a
    record from a service, the command prints the request that fetches the record.

    If `on` or `when` excludes an event, the command still prints the request, and
    adds a note on standard error.

    Exits 0 on success, 1 when an event would become a dead letter, 2 for a mistake
    in the configuration or the file.
    """
    with failures_reported():
        checked = plan(load_document(config), SystemClock())
        rendering = _Rendering(checked, _known_subscriber(subscriber, checked))
        given = list(events_of(file, event_type))
        if as_json:
            print_json({"events": [rendering.as_json(each) for each in given]})
        else:
            for number, each in enumerate(given):
                rendering.print(each, is_first=number == 0)
    if rendering.has_failed:
        raise typer.Exit(REFUSED)


class _Rendering:
    """Makes deliveries by one subscriber's route, and lets the plugin preview them."""

    def __init__(self, checked: Plan, name: SubscriberName) -> None:
        self._checked = checked
        self._name = name
        self._subscriber = checked.subscribers[name]()
        self._stderr = Console(stderr=True, highlight=False, soft_wrap=True)
        self.has_failed = False

    def print(self, given: GivenEvent, *, is_first: bool) -> None:
        """Print the request for one event, with a separator line between requests."""
        if not is_first:
            typer.echo("\n---")
        shown, lookups = self._shown(given)
        for name, asked in lookups.items():
            self._say(f"the look-up enrich.{name} sends: {asked.request}")
        if not isinstance(shown, Preview):
            self._say(f"nothing is sent: {_reason(shown)}")
            return
        lines = [shown.request, *(f"{name}: {value}" for name, value in shown.headers.items())]
        typer.echo(_for_terminal("\n".join(lines)))
        typer.echo()
        typer.echo(_for_terminal(shown.content.decode(errors="replace")))

    def as_json(self, given: GivenEvent) -> JsonObject:
        """Return the same information as `print`, as a JSON object."""
        shown, lookups = self._shown(given)
        about: JsonObject = {"id": given.event.id, "type": given.event.type}
        asked = {"lookups": {name: _preview_json(each) for name, each in lookups.items()}} if lookups else {}
        if not isinstance(shown, Preview):
            return {**about, "outcome": type(shown).__name__.lower(), "reason": _reason(shown), **asked}
        return {**about, **_preview_json(shown), **asked}

    def _shown(self, given: GivenEvent) -> tuple[Preview | Outcome, Mapping[str, Preview]]:
        """Return the request for one event, and the lookup requests by name; print notes about the event."""
        verdicts = Verdicts(self._checked, given.event, given.more)
        verdict = verdicts.of(self._name)
        if not verdict.matches and not verdict.error:
            self._say(f"{self._name} does not get this event: {verdict.why}")
        if absent := given_names(self._checked, self._name, given.event, given.more).absent:
            self._say(absence(absent))
        lookups: Mapping[str, Preview] = {}
        try:
            lookups = requests_of(self._checked, self._name, given.event, given.more, SystemClock())
            shown = previewed(self._subscriber, verdicts.delivery(self._name))
        except BrokenRoute as error:
            shown = Reject(reason=str(error), sent=False)
        self.has_failed |= isinstance(shown, Reject)
        return shown, lookups

    def _say(self, sentence: str) -> None:
        self._stderr.print(f"streamer: {sentence}", markup=False)


def _preview_json(preview: Preview) -> JsonObject:
    content = preview.content.decode(errors="replace")
    return {"request": preview.request, "headers": dict(preview.headers), "content": content}


def _reason(outcome: Outcome) -> str:
    return outcome.reason if isinstance(outcome, Skip | Reject) else str(outcome)


def _for_terminal(text: str) -> str:
    """Return `text`; replace control characters if the output is a terminal."""
    if not sys.stdout.isatty():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)


def _known_subscriber(name: str, checked: Plan) -> SubscriberName:
    subscribers = checked.settings.subscribers
    if name in subscribers:
        return SubscriberName(name)
    close = difflib.get_close_matches(name, subscribers, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    known = ", ".join(subscribers) or "none"
    raise ConfigurationError(f"SUBSCRIBER: found {name!r}; {hint}configured: {known}")


def explain(
    file: EventFile, *, config: Config, event_type: EventType = None, as_json: AsJson = False
) -> None:
    """Show which subscribers get an event, and why the other subscribers do not get it.

    FILE holds CloudEvents (as Streamer writes them in structured mode), or only the
    events' data (as in the values of Kafka's records). Beside an event's data, FILE
    can also hold `receipts`, and the records that enrich looks up, by the names of
    the look-ups. The command makes no connection and sends nothing.

    Exits 0 on success, 1 when an expression fails on an event (a daemon then makes
    the event a dead letter), 2 for a mistake in the configuration or the file.
    """
    with failures_reported():
        checked = plan(load_document(config), SystemClock())
        names = checked.settings.subscribers
        verdicts = [
            (each, list(map(Verdicts(checked, each.event, each.more).of, names)))
            for each in events_of(file, event_type)
        ]
        if as_json:
            print_json({"events": [_verdicts_json(given, found) for given, found in verdicts]})
        else:
            for number, (given, found) in enumerate(verdicts):
                _print_verdicts(given, found, is_first=number == 0)
    if any(each.error for _, found in verdicts for each in found):
        raise typer.Exit(REFUSED)


def _print_verdicts(given: GivenEvent, found: Sequence[RouteVerdict], *, is_first: bool) -> None:
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


def _verdicts_json(given: GivenEvent, found: Sequence[RouteVerdict]) -> JsonObject:
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
                # A missing field has no value to show.
                "absent_names": list(each.absent),
                "fields": {path: value for path, value in (each.fields or {}).items() if value is not ABSENT},
            }
            for each in found
        ],
    }
