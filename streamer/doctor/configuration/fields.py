"""Fields: the names in expressions, templates and rules of protection, compared with the org's describes."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

from streamer.doctor.check import Area, Check, CheckResult, Inapplicable, counted, ok, warning
from streamer.doctor.once import Once
from streamer.doctor.org import LOGIN, OrgSession
from streamer.events import JsonObject
from streamer.expressions.names import fields_read
from streamer.expressions.templates import fields_in_template
from streamer.salesforce.records import RestRecords
from streamer.settings import Settings, SubscriberSettings

_NAMED = re.compile(r"salesforce\.(?:cdc|event|outbound)\.(\w+)(?:\.|$)", re.ASCII)
_NAME = re.compile(r"\w+", re.ASCII)

Describes = Mapping[str, Once[JsonObject]]
"""Describe of each object that the configuration names."""


def field_checks(settings: Settings, session: OrgSession, *, timeout_s: float) -> Iterator[Check]:
    """Yield a check for each subscriber that reads fields, and one for the rules of protection."""
    records = RestRecords(session.rest)
    used = {name: (entities_of(each.on), fields_of(each)) for name, each in settings.subscribers.items()}
    protected = [
        (frozenset(filter(_NAME.fullmatch, rule.entity or ())), _protected(rule.fields))
        for rule in settings.protect
    ]
    named = frozenset().union(*(entities for entities, _ in [*used.values(), *protected]))
    describes = {
        entity: Once(partial(records.describe, entity), session.clock, timeout_s=timeout_s)
        for entity in sorted(named)
    }
    for name, (entities, fields) in used.items():
        if fields:
            run = partial(_compared, session, describes, [(entities, fields)], f"subscribers.{name}")
            yield Check(area=Area.CONFIGURATION, name=f"fields of {name}", run=run)
    if any(fields for _, fields in protected):
        run = partial(_compared, session, describes, protected, "protect")
        yield Check(area=Area.CONFIGURATION, name="fields of protect", run=run)


def entities_of(patterns: Iterable[str]) -> frozenset[str]:
    """Return the objects that event type `patterns` name; none if one of them matches others too."""
    found = [_NAMED.match(each) for each in patterns]
    return frozenset(each[1] for each in found if each) if all(found) else frozenset()


def fields_of(subscriber: SubscriberSettings) -> frozenset[str]:
    """Return the fields that the sound expressions and templates of a subscriber read."""
    content = subscriber.content
    expressions = [subscriber.when, *(each.id for each in subscriber.enrich.values())]
    read = [fields_read(each) for each in [*expressions, *_leaves(subscriber.body)] if each is not None]
    templates = [subscriber.text, content.template if content else None]
    read += [fields_in_template(each) for each in templates if each is not None]
    return frozenset().union(*read)


def unknown_fields(fields: Collection[str], describes: Sequence[JsonObject]) -> Iterator[tuple[str, str]]:
    """Yield each of `fields` that no object of `describes` has, with the name most like it or nothing."""
    known = {str(each["name"]) for describe in describes for each in describe["fields"]}
    for name in sorted(set(fields) - known):
        by_case = {each.lower(): each for each in known}
        close = difflib.get_close_matches(name.lower(), by_case, n=1)
        yield name, by_case[close[0]] if close else ""


async def _compared(
    session: OrgSession,
    describes: Describes,
    used: Iterable[tuple[frozenset[str], frozenset[str]]],
    where: str,
) -> Sequence[CheckResult]:
    await session.token.needed(LOGIN)
    verdicts: list[CheckResult] = []
    compared = 0
    for entities, fields in used:
        if entities:
            compared += len(fields)
            found = [await describes[each]() for each in sorted(entities)]
            verdicts += [_verdict(where, entities, *each) for each in unknown_fields(fields, found)]
    if not compared:
        raise Inapplicable(f"{where} names no object alone, such as salesforce.cdc.Opportunity.*")
    return verdicts or [ok(f"the org has {counted(compared, 'field')} that {where} names")]


def _verdict(where: str, entities: Collection[str], name: str, close: str) -> CheckResult:
    hint = f"did you mean {close}? " if close else ""
    return warning(
        f"{where} names the field {name}, which {' or '.join(sorted(entities))} does not have",
        f"{hint}correct the name, or let the user see the field",
    )


def _protected(fields: Iterable[str]) -> frozenset[str]:
    """Return the fields at the top that a rule names without a star."""
    names = (each.partition(".")[0] for each in fields)
    return frozenset(filter(_NAME.fullmatch, names))


def _leaves(shape: object) -> Iterator[str]:
    match shape:
        case str():
            yield shape
        case dict():
            for part in shape.values():
                yield from _leaves(part)
        case list():
            for part in shape:
                yield from _leaves(part)
