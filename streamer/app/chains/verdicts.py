"""Verdicts: the subscribers that get an event, with the names in their expressions, and the reasons."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamer.app.chains.subscriptions import upstream_of
from streamer.app.plan import Plan
from streamer.clock import Clock
from streamer.configuration.consistency import upstream
from streamer.dispatch.delivery.enrichment import LOOKUPS, LookupState
from streamer.dispatch.delivery.route import event_document
from streamer.dispatch.forwarding import receipts_of
from streamer.errors import BrokenRoute
from streamer.events import Delivery, Event, JsonObject, SubscriberName
from streamer.exact_json import exact_json
from streamer.expressions.checks import reads_any
from streamer.expressions.projection import ABSENT, operands
from streamer.log.patterns import wants
from streamer.ports import Preview

_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenNames:
    """Known receipts and looked-up records of one event, and `absent` names.

    `absent` uses the names in expressions, such as `receipts.invoice` or `account`.
    """

    more: JsonObject
    absent: tuple[str, ...] = ()


def given_names(checked: Plan, name: SubscriberName, event: Event, given: JsonObject) -> GivenNames:
    """Return the additional names that the expressions of the subscriber `name` see.

    If `given` has a record for a look-up, the record counts as found; if `given` has
    null, the record counts as missing. The result of any other look-up is unknown.
    """
    more: JsonObject = {}
    absent: list[str] = []
    if before := upstream(name, checked.settings.subscribers):
        more = {**receipts_of(event)}
        absent = [f"receipts.{each}" for each in sorted(before - (event.receipts or {}).keys())]
    if (source := checked.enrichments.get(name)) is None:
        return GivenNames(more=more, absent=tuple(absent))
    states = {each.name: _state(each.name, given) for each in source.lookups}
    records = {each: given[each] for each in states if each in given}
    absent += [each for each in states if each not in records]
    told = given.get(LOOKUPS)
    more |= {**records, LOOKUPS: {**states, **(told if isinstance(told, dict) else {})}}
    return GivenNames(more=more, absent=tuple(absent))


def requests_of(
    checked: Plan, name: SubscriberName, event: Event, given: JsonObject, clock: Clock
) -> Mapping[str, Preview]:
    """Return the requests to services for records not in `given`, by the look-ups' names.

    Raises `BrokenRoute`.
    """
    source = checked.enrichments.get(name)
    document = event_document(event, given_names(checked, name, event, given).more)
    found = {}
    for each in source.lookups if source else ():
        if each.service is not None and each.name not in given:
            _, record_id = each.place(event, document)
            if record_id is not None and record_id is not ABSENT:
                found[each.name] = each.service.make(clock).preview(record_id)
    return found


def _state(name: str, records: JsonObject) -> LookupState:
    if name not in records:
        return LookupState.ABSENT
    return LookupState.MISSING if records[name] is None else LookupState.FOUND


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteVerdict:
    """Selection of an event by one subscriber; if the event does not match, `why` names the reason.

    `error` describes an expression that fails. `fields` holds the fields that
    `when` reads, with their values; a field that is not in the event is `ABSENT`.
    `names` are missing inputs that the verdict depends on.
    """

    subscriber: SubscriberName
    matches: bool
    why: str = ""
    error: str = ""
    fields: Mapping[str, Any] | None = None
    names: GivenNames | None = None

    @property
    def absent(self) -> tuple[str, ...]:
        """Names of missing inputs that the verdict depends on."""
        return self.names.absent if self.names else ()


class Verdicts:
    """Subscribers' verdicts on one event, with the looked-up records in `given`.

    If the receipt of an upstream subscriber is missing, the verdict of that subscriber
    decides whether the event reaches later subscribers.
    """

    def __init__(self, checked: Plan, event: Event, given: JsonObject) -> None:
        self._checked = checked
        self._event = event
        self._given = given
        self._found: dict[SubscriberName, RouteVerdict] = {}
        self._deliveries: dict[SubscriberName, Delivery] = {}

    def of(self, name: SubscriberName) -> RouteVerdict:
        """Return the verdict of the subscriber `name` on the event."""
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._made(name)
        return found

    def delivery(self, name: SubscriberName) -> Delivery:
        """Return the delivery for the plugin, even if the event does not match. Raises `BrokenRoute`."""
        verdict = self.of(name)
        if verdict.error:
            raise BrokenRoute(verdict.error)
        if name not in self._deliveries:
            self._shape(name, given_names(self._checked, name, self._event, self._given))
        return self._deliveries[name]

    def _shape(self, name: SubscriberName, names: GivenNames) -> None:
        delivery = self._checked.routes[name].delivery(self._event, attempt=1, more=names.more)
        upstream = upstream_of(name, self._checked.settings.subscribers)
        self._deliveries[name] = upstream.told(delivery, names.more)

    def _made(self, name: SubscriberName) -> RouteVerdict:
        settings = self._checked.settings.subscribers[name]
        if not wants(self._checked.subscription(name).patterns)(self._event.type):
            patterns = ", ".join(settings.on)
            return RouteVerdict(
                subscriber=name, matches=False, why=f"on matches only these types: {patterns}"
            )
        if why := self._excluded_before(name):
            return RouteVerdict(subscriber=name, matches=False, why=why)
        return self._of_expressions(name)

    def _excluded_before(self, name: SubscriberName) -> str:
        """Return the reason why subscribers before `name` do not forward the event, or an empty text."""
        upstream = upstream_of(name, self._checked.settings.subscribers)
        for before in upstream.missing(self._event):
            verdict = self.of(before)
            if not verdict.matches and not (verdict.error and upstream.runs_rejected):
                return f"this subscriber waits for {before}, which does not get this event"
        return upstream.exclusion(self._event)

    def _of_expressions(self, name: SubscriberName) -> RouteVerdict:
        route, event = self._checked.routes[name], self._event
        when = self._checked.settings.subscribers[name].when
        names = given_names(self._checked, name, self._event, self._given)
        fields = operands(when, event_document(event, names.more)) if when else None
        try:
            if not route.admits(event, names.more):
                return RouteVerdict(
                    subscriber=name,
                    matches=False,
                    why="; ".join(["the condition `when` is not true for this event", *_shown(fields or {})]),
                    fields=fields,
                    names=names if reads_any(when, route.more) else None,
                )
            self._shape(name, names)
        except BrokenRoute as error:
            return RouteVerdict(
                subscriber=name,
                matches=False,
                why=f"the event becomes a dead letter: {error}",
                error=str(error),
                fields=fields,
                names=names,
            )
        return RouteVerdict(subscriber=name, matches=True, fields=fields, names=names)


def _shown(fields: Mapping[str, Any]) -> list[str]:
    return [f"{path} is {_text(value)}" for path, value in fields.items()]


def _text(value: Any) -> str:
    if value is ABSENT:
        return "absent"
    text = exact_json(value).decode()
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
