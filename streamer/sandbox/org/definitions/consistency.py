"""Consistency of a declared schema: checks of names and keys against each other."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from streamer.sandbox.org.channels import STANDARD_EVENTS
from streamer.sandbox.org.definitions.declaration import (
    DeclaredField,
    DeclaredObject,
    DeclaredSchema,
)
from streamer.sandbox.org.definitions.field_rules import field_mistakes
from streamer.sandbox.org.definitions.mistakes import Keys, Mistake
from streamer.sandbox.org.schema import READ_ONLY, STANDARD, new_type

CHANGES = "ChangeEvents"
"""Name of the channel that selects the objects whose changes are announced."""

_STANDARD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,79}")
_CUSTOM = r"[A-Za-z](?:_?[A-Za-z0-9]){0,39}"
_OBJECT, _FIELD, _EVENT, _CHANNEL = (re.compile(f"{_CUSTOM}__{suffix}") for suffix in ("c", "c", "e", "chn"))
_OWN = new_type("Custom__c", "").fields


class DeclaredNames:
    """Names that a declared schema can refer to.

    These are the declared names and the standard names and, unless the schema is
    closed, all custom names. `spoiled` has the keys with mistakes; they are missing in
    the schema, but a reference to such a key is not a further mistake.
    """

    def __init__(self, schema: DeclaredSchema, spoiled: AbstractSet[Keys]) -> None:
        self._schema = schema
        self._spoiled = spoiled

    def is_object(self, name: str) -> bool:
        """Return whether an object with this name exists or can be created."""
        is_open = not self._schema.closed and _OBJECT.fullmatch(name) is not None
        return (
            name in self._schema.objects or name in STANDARD or is_open or self._is_spoiled("objects", name)
        )

    def is_event(self, name: str) -> bool:
        """Return whether a platform event with this name exists or can be created."""
        is_open = not self._schema.closed and _EVENT.fullmatch(name) is not None
        known = name in self._schema.events or name in STANDARD_EVENTS
        return known or is_open or self._is_spoiled("events", name)

    def is_field(self, type_name: str, name: str) -> bool:
        """Return whether an object has a field with this name, or can get it."""
        standard = STANDARD.get(type_name)
        known = _OWN if standard is None else {*standard.fields, *standard.compounds}
        declared = self._schema.objects.get(type_name)
        is_open = declared is None and not self._schema.closed and _FIELD.fullmatch(name) is not None
        is_declared = declared is not None and name in declared.fields
        return (
            name in known or is_declared or is_open or self._is_spoiled("objects", type_name, "fields", name)
        )

    def _is_spoiled(self, *keys: str) -> bool:
        return any(keys[:depth] in self._spoiled for depth in range(1, len(keys) + 1))


def inconsistencies(schema: DeclaredSchema, spoiled: AbstractSet[Keys]) -> Iterator[Mistake]:
    """Return the mistakes between the keys of a schema."""
    names = DeclaredNames(schema, spoiled)
    yield from _twice(("objects",), schema.objects)
    prefixes = {entity.prefix: entity.name for entity in STANDARD.values()}
    for name, declared in schema.objects.items():
        if ("objects", name, "prefix") not in spoiled:
            yield from _prefix(("objects", name), declared.prefix, prefixes)
        yield from _object(name, declared)
        yield from _twice(("objects", name, "fields"), declared.fields)
    yield from _twice(("events",), schema.events)
    for name, event in schema.events.items():
        yield from _name(("events", name), _EVENT, "a platform event", "Order_Placed__e")
        yield from _twice(("events", name, "fields"), event.fields)
        for field_name, field in event.fields.items():
            keys = ("events", name, "fields", field_name)
            yield from _name(keys, _FIELD, "a field of an event", "Order_No__c")
            yield from field_mistakes(keys, field.type, field)
    yield from _relationships(schema, names)
    for name, members in schema.channels.items():
        yield from _channel(names, name, members)


def _object(name: str, declared: DeclaredObject) -> Iterator[Mistake]:
    keys: Keys = ("objects", name)
    custom = "__" in name
    if name not in STANDARD:
        yield from _name(keys, _OBJECT if custom else _STANDARD_NAME, "an object", "Account or Invoice__c")
        yield from _spelling(keys, STANDARD)
    standard = STANDARD[name].fields if name in STANDARD else _OWN if custom else {}
    for field_name, field in declared.fields.items():
        known = standard.get(field_name)
        yield from _spelling((*keys, "fields", field_name), standard)
        yield from _field((*keys, "fields", field_name), known.type if known else None, field)


def _prefix(keys: Keys, prefix: str | None, prefixes: dict[str, str]) -> Iterator[Mistake]:
    name = str(keys[-1])
    if "__" in name or name in STANDARD:
        if prefix is not None:
            yield Mistake(
                (*keys, "prefix"),
                "can't be set, because Salesforce chooses the prefix of this object: remove this key",
            )
    elif prefix is None:
        yield Mistake(
            keys,
            (
                "is not an object that the sandbox knows: set a prefix for the ids of this object, such "
                'as "701"'
            ),
        )
    elif prefix.startswith("a"):
        yield Mistake(
            (*keys, "prefix"),
            "begins with the letter a, which is reserved for custom objects: set another prefix",
        )
    elif prefixes.setdefault(prefix, name) != name:
        yield Mistake((*keys, "prefix"), f"is already the prefix of {prefixes[prefix]}: set another prefix")


def _field(keys: Keys, known: str | None, field: DeclaredField) -> Iterator[Mistake]:
    """Return the mistakes of one field; `known` is the type of a standard field."""
    type_name, name = str(keys[1]), str(keys[3])
    if name in READ_ONLY:
        yield Mistake(keys, "is a field that every object has: remove this field")
        return
    if known is None and "__" in type_name and "__" not in name:
        yield Mistake(keys, f"can't be a field of a custom object: name the field {name}__c")
    elif known is None:
        pattern = _FIELD if "__" in name else _STANDARD_NAME
        yield from _name(keys, pattern, "a field", "Phone or Number__c")
    if known is not None and field.type not in {None, known}:
        yield Mistake(
            (*keys, "type"),
            f"can't be set, because this field has the type {known} in Salesforce: remove this key",
        )
        return
    kind = known or field.type
    if kind is None:
        yield Mistake(keys, "needs the key type, for example `type: string`")
        return
    yield from field_mistakes(keys, kind, field)
    if kind == "reference" and known is None and not field.to:
        yield Mistake(keys, "needs the object to which the field refers, for example `to: Account`")


def _relationships(schema: DeclaredSchema, names: DeclaredNames) -> Iterator[Mistake]:
    taken: dict[tuple[str, str], str] = {}
    for type_name, declared in schema.objects.items():
        for field_name, field in declared.fields.items():
            keys: Keys = ("objects", type_name, "fields", field_name)
            for target in field.to:
                if not names.is_object(target):
                    yield Mistake(
                        (*keys, "to"),
                        f"names {target}, which is not an object: declare {target} under objects",
                    )
            name = field.child_relationship or f"{type_name.removesuffix('__c')}__r"
            if not field_name.endswith("__c"):
                continue
            if re.fullmatch(f"{_CUSTOM}__r", name) is None:
                yield Mistake((*keys, "child_relationship"), "must end in __r, such as Invoices__r")
            for target in field.to:
                owner = taken.setdefault((target, name.lower()), f"{type_name}.{field_name}")
                if owner != f"{type_name}.{field_name}":
                    sentence = (
                        f"the relationship {name} of {target} already belongs to {owner}: set "
                        "child_relationship to another name"
                    )
                    yield Mistake(keys, sentence)


def _channel(names: DeclaredNames, channel: str, members: Mapping[str, tuple[str, ...]]) -> Iterator[Mistake]:
    keys: Keys = ("channels", channel)
    if channel != CHANGES:
        yield from _name(keys, _CHANNEL, "a channel", f"{CHANGES} or Erp__chn")
        if not members:
            yield Mistake(keys, "needs a member, for example `Account: []`")
    for member, enriched in members.items():
        here = (*keys, member)
        if is_event_name(member):
            yield from _event_member(names, here, enriched)
        elif not names.is_object(member):
            yield Mistake(
                here, "is neither an object nor a platform event: declare this name under objects or events"
            )
        else:
            for field in enriched:
                if not names.is_field(member, field):
                    yield Mistake(
                        here, f"has no field {field}: declare the field under objects.{member}.fields"
                    )
    kinds = {is_event_name(member) for member in members}
    if channel != CHANGES and len(kinds) > 1:
        yield Mistake(keys, "has both objects and platform events: declare one channel for each kind")


def is_event_name(member: str) -> bool:
    """Return whether a member of a channel is a platform event and not an object."""
    return member.endswith("__e") or member in STANDARD_EVENTS


def _event_member(names: DeclaredNames, keys: Keys, enriched: Iterable[str]) -> Iterator[Mistake]:
    if keys[1] == CHANGES:
        yield Mistake(
            keys, "is a platform event, but this channel carries only changes of objects: name an object"
        )
    elif not names.is_event(str(keys[2])):
        yield Mistake(keys, "is not a platform event: declare the event under events")
    if enriched:
        yield Mistake(keys, "is a platform event, which can't be enriched: remove the fields")


def _name(keys: Keys, pattern: re.Pattern[str], of: str, example: str) -> Iterator[Mistake]:
    if pattern.fullmatch(str(keys[-1])) is None:
        yield Mistake(keys, f"is not the name of {of}, such as {example}")


def _spelling(keys: Keys, known: Iterable[str]) -> Iterator[Mistake]:
    """Return the mistake of a name that differs from a known name only in letter case."""
    proper = {name.lower(): name for name in known}.get(str(keys[-1]).lower(), keys[-1])
    if proper != keys[-1]:
        yield Mistake(keys, f"has the spelling {proper} in Salesforce: use this spelling")


def _twice(keys: Keys, declared: Mapping[str, Any]) -> Iterator[Mistake]:
    """Return the names that differ only in letter case, and so are the same name to Salesforce."""
    same: defaultdict[str, list[str]] = defaultdict(list)
    for name in declared:
        same[name.lower()].append(name)
    for first, *others in same.values():
        for other in others:
            yield Mistake(
                (*keys, other),
                f"is the same name as {first}, because Salesforce ignores case: remove one of the two",
            )
