"""Enrichment: look-ups from settings, and the mistakes between their keys."""

from collections.abc import Callable, Iterator, Mapping

from streamer.configuration import Keys
from streamer.configuration.event_types import Carried
from streamer.dispatch.delivery.enrichment import LOOKUPS, Lookup
from streamer.dispatch.delivery.route import EVENT_NAMES, Mistake, compile_projection
from streamer.dispatch.lookups.fields import FieldNames
from streamer.expressions.functions import Functions
from streamer.expressions.names import WHOLE, names_read
from streamer.settings import LookupSettings, SubscriberSettings

OWN_RECORD = "record"
"""Name of the look-up that reads the event's own record unless it names another."""

_TAKEN = frozenset({*EVENT_NAMES, LOOKUPS, "receipts"})
_OF_RECORDS = (Carried(kind="cdc", name=None), Carried(kind="outbound", name=None))


def compiled_lookups(
    enrich: Mapping[str, LookupSettings], mistake: Mistake, functions: Functions, more: tuple[str, ...]
) -> Iterator[Lookup]:
    """Yield the look-ups, compiled; raises what `mistake` makes of the first that is wrong.

    Their expressions see `more` names beside those of every event.
    """
    above: list[str] = []
    for name, each in enrich.items():
        keys: Keys = ("enrich", name, "id")
        needs = _read_by(each.id)
        yield Lookup(
            name=name,
            fields=FieldNames.of(*each.fields),
            sobject=each.sobject,
            record_id=None
            if each.id is None
            else compile_projection(each.id, keys, mistake=mistake, more=more, functions=functions),
            needs=frozenset(above if WHOLE in needs else needs.intersection(above)),
        )
        above.append(name)


def lookup_mistakes(
    settings: SubscriberSettings, is_sound: Callable[[Keys], bool], mistake: Mistake
) -> Iterator[str]:
    """Yield a message for each mistake between the sound keys of a subscriber's look-ups."""
    below = set(settings.enrich)
    for name, each in settings.enrich.items():
        keys: Keys = ("enrich", name)
        if not is_sound(keys):
            below.discard(name)
            continue
        for where, sentence, detail in _mistakes(name, each, settings, below):
            yield str(mistake((*keys, *where), sentence, detail))
        below.discard(name)


def _mistakes(
    name: str, lookup: LookupSettings, settings: SubscriberSettings, below: set[str]
) -> Iterator[tuple[Keys, str, str]]:
    if name in _TAKEN:
        yield (), "expressions see something else under this name", f"{name}; choose another one"
    if lookup.http is not None:
        yield from _mistakes_of_service(lookup)
    elif name != OWN_RECORD or lookup.sobject or lookup.id:
        for key, example in (("sobject", "Account"), ("id", "data.fields.AccountId")):
            if getattr(lookup, key) is None:
                detail = f"for example {example}; only {OWN_RECORD} goes without sobject and id"
                yield (key,), "is missing", detail
    elif settings.on and not any(kind.can_match(each) for each in settings.on for kind in _OF_RECORDS):
        yield (), "the events of on name no record", "set sobject and id"
    if late := sorted(_read_by(lookup.id) & (below - _TAKEN)):
        detail = f"{late[0]}; put the look-up that reads it below that one"
        yield ("id",), "this look-up has not been made yet", detail


def _mistakes_of_service(lookup: LookupSettings) -> Iterator[tuple[Keys, str, str]]:
    if lookup.id is None:
        yield ("id",), "is missing", "for example data.fields.ERP_Id__c; with http the record has no other"
    if lookup.sobject is not None:
        yield ("sobject",), "http reads no object of the org", "set one of the two"
    known: dict[str, str] = {}
    for each in lookup.fields:
        if known.setdefault(each.lower(), each) != each:
            yield ("fields",), "two names differ by their case alone", f"{known[each.lower()]} and {each}"


def _read_by(expression: str | None) -> frozenset[str]:
    try:
        return names_read(expression) if expression is not None else frozenset()
    except ValueError:
        # An expression that does not compile is reported as a mistake elsewhere.
        return frozenset()
