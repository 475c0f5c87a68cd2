"""Additional names in a subscriber's expressions: receipts and looked-up records."""

from collections.abc import Mapping
from dataclasses import dataclass

from streamer.app.plan import Plan
from streamer.clock import Clock
from streamer.configuration.consistency import upstream
from streamer.dispatch.chains.forwarding import receipts_of
from streamer.dispatch.delivery.enrichment import LOOKUPS, LookupState
from streamer.dispatch.delivery.route import event_document
from streamer.events import Event, JsonObject, SubscriberName
from streamer.expressions.projection import ABSENT
from streamer.ports import Preview


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
