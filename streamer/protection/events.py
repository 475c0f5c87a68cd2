"""Protection of events: it replaces every value that a rule names, in the data and in the key."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from streamer.events import Event, JsonObject
from streamer.protection.rules import FieldRules, Rules
from streamer.protection.treatments import DROP, KEEP, FixedTreatment, Treatment, exact_text, exact_tree

DROPPED = object()
"""Marks a value that was removed."""

# A generic event can contain any JSON.
_DEEPEST = 64
_LONGEST_PATH = 4_096

_CHANGES = "salesforce.cdc."
_MODIFIED = "LastModifiedDate"

_BRACKETS = ("{", "[")
_BEFORE_JSON = "\ufeff \t\r\n"
_TEXTS = {str}
_MEMBER = re.compile(r'\{\s*"')


class NotProtected(Exception):
    """Protected fields of an event can't be distinguished from other fields; the error quotes no value."""


def treated_fields(fields: JsonObject, rules: FieldRules, diffs: Collection[str] = ()) -> JsonObject:
    """Return `fields` as treated by `rules`, or `fields` itself if the rules name no field in `fields`.

    Null stays null unless it is dropped. A text diff (its path is in `diffs`) is
    always dropped, because it contains parts of the text, and its hash matches no
    text that a consumer has. Raises `NotProtected` if the values are nested too
    deeply.
    """
    return _Fields(rules, diffs).of(fields, "", 0)


def treated_list(values: list[Any], rules: FieldRules) -> list[Any]:
    """Return a payload that is a list; the members of its objects are treated as fields."""
    found = _Fields(rules, ()).of_list(values, "", KEEP, 0)
    return found if isinstance(found, list) else []


def treated_whole(value: Any, treatment: Treatment, depth: int = 0) -> Any:
    """Return `value` with each single value treated, or `DROPPED`.

    Raises `NotProtected` if the value is nested too deeply.
    """
    if treatment is DROP:
        return DROPPED
    if value is None or isinstance(treatment, FixedTreatment):
        return value
    if depth > _DEEPEST:
        raise NotProtected(f"a field is nested more than {_DEEPEST} levels deep")
    if type(value) is dict:
        return {name: treated_whole(each, treatment, depth + 1) for name, each in value.items()}
    if type(value) is list:
        return [treated_whole(each, treatment, depth + 1) for each in value]
    return treatment(value)


class _Fields:
    """Visits all fields of one event."""

    __slots__ = ("_diffs", "_rules")

    def __init__(self, rules: FieldRules, diffs: Collection[str]) -> None:
        self._rules = rules
        self._diffs = diffs

    def of(self, fields: JsonObject, prefix: str, depth: int) -> JsonObject:
        """Return the fields whose paths begin with `prefix`, or `fields` itself if nothing changes."""
        known = self._rules.known
        treated: JsonObject | None = None
        # This loop handles every event of the type, so it makes few calls per field.
        for name, value in fields.items():
            path = prefix + name if prefix else name
            treatment = known.get(path) or self._rules.of(path)
            kind = type(value)
            if kind is dict or kind is list:
                new = self._within(value, path, treatment, depth)
            elif treatment is KEEP:
                continue
            else:
                new = _single(value, treatment)
            if new is value:
                continue
            if treated is None:
                treated = fields.copy()
            if new is DROPPED:
                del treated[name]
            else:
                treated[name] = new
        return fields if treated is None else treated

    def of_list(self, values: list[Any], path: str, treatment: Treatment, depth: int) -> Any:
        """Return the values of a list, or `DROPPED` if all of them are dropped."""
        new = [self._of_element(each, path, treatment, depth) for each in values]
        kept = [each for each in new if each is not DROPPED]
        return kept if kept or (not values and treatment is not DROP) else DROPPED

    def _of_element(self, value: Any, path: str, treatment: Treatment, depth: int) -> Any:
        if type(value) is dict or type(value) is list:
            return self._within(value, path, treatment, depth + 1)
        return _single(value, treatment)

    def _within(self, value: Any, path: str, treatment: Treatment, depth: int) -> Any:
        if depth > _DEEPEST or len(path) > _LONGEST_PATH:
            raise NotProtected(
                f"a field is nested more than {_DEEPEST} levels deep, or the path of a field is too long"
            )
        if type(value) is list:
            return self.of_list(value, path, treatment, depth)
        if path in self._diffs:
            return value if treatment is KEEP else DROPPED
        if not value:
            return DROPPED if treatment is DROP else value
        return self.of(value, f"{path}." if path else "", depth + 1) or DROPPED


def _single(value: Any, treatment: Treatment) -> Any:
    if isinstance(treatment, FixedTreatment):
        return value if treatment is KEEP else DROPPED
    return value if value is None else treatment(value)


@dataclass(slots=True, kw_only=True)
class _Parts:
    """New values for the parts of an event's data that rules change; `DROPPED` marks a removed part.

    `keyed` has the protected fields, in which the event's new key is looked up.
    """

    differing: JsonObject = field(default_factory=dict)
    keyed: JsonObject = field(default_factory=dict)


class ProtectedEvents:
    """Protects the events of one channel; `key` names the field that orders them, if any."""

    def __init__(self, rules: Rules, *, key: str | None = None) -> None:
        self._rules = rules
        self._key = key

    def of(self, events: Sequence[Event]) -> Iterator[Event | NotProtected]:
        """Yield `events` with their protected values replaced; an event without such values is unchanged.

        For an event without the form of its type, `of` yields a `NotProtected`: the
        event must not be stored.
        """
        of_type = self._rules.of
        for event in events:
            rules = of_type(event.type)
            if rules is None:
                yield event
                continue
            try:
                protected: Event | NotProtected = self._with(event, _parts(event, rules))
            except NotProtected as error:
                protected = error
            except Exception as error:  # noqa: BLE001 - a bad event must not affect the other events
                # The error's message can quote the event.
                protected = NotProtected(f"protecting the event's fields raised {type(error).__name__}")
            yield protected

    def _with(self, event: Event, parts: _Parts) -> Event:
        if not parts.differing:
            return event
        data = event.data | parts.differing
        for name, value in parts.differing.items():
            if value is DROPPED:
                del data[name]
        key = event.key
        if self._key is not None:
            value = parts.keyed.get(self._key)
            key = event.id if value is None else str(value)
        # dataclasses.replace would take four times as long.
        return Event(
            id=event.id,
            source=event.source,
            type=event.type,
            subject=event.subject,
            time=event.time,
            key=key,
            channel=event.channel,
            replay_id=event.replay_id,
            data=data,
        )


def _parts(event: Event, rules: FieldRules) -> _Parts:
    data, parts = event.data, _Parts()
    if "payload" in data:
        _treat_payload(data["payload"], rules, parts)
    elif rules.names_fields:
        fields = data["fields"]
        treated = treated_fields(fields, rules, data.get("diff_fields", ()))
        parts.keyed = treated
        if treated is not fields:
            parts.differing["fields"] = treated
        if event.type.startswith(_CHANGES):
            _treat_names(data, rules, parts)
            _treat_reread(data, rules, parts)
    if rules.data:
        _treat_others(data, rules, parts)
    return parts


def _treat_names(data: JsonObject, rules: FieldRules, parts: _Parts) -> None:
    """Remove the names of dropped fields and of removed diffs, as if the user had no access to the fields."""
    known, of = rules.known, rules.of
    for member in ("changed_fields", "nulled_fields"):
        names = data[member]
        if names == []:
            continue
        # Salesforce's header is not checked earlier, so the lists can contain values that are not names.
        texts = names if type(names) is list and set(map(type, names)) == _TEXTS else _texts_of(names)
        kept = [name for name in texts if (known.get(name) or of(name)) is not DROP]
        if texts is not names or len(kept) < len(texts):
            parts.differing[member] = kept
    if "diff_fields" in data:
        kept = [name for name in data["diff_fields"] if of(name) is KEEP]
        parts.differing["diff_fields"] = kept or DROPPED


def _texts_of(names: Any) -> list[str]:
    return [name for name in names if type(name) is str] if type(names) is list else []


def _treat_others(data: JsonObject, rules: FieldRules, parts: _Parts) -> None:
    """Replace other values than fields if rules name them, such as `transaction.user`; not the payload."""
    transaction = data.get("transaction")
    for place, treatment in rules.data.items():
        member, _, name = place.partition(".")
        if name and transaction and name in transaction:
            transaction = _without_dropped({**transaction, name: treated_whole(transaction[name], treatment)})
            parts.differing[member] = transaction
        elif not name and member in data and member != "payload":
            parts.differing[member] = treated_whole(data[member], treatment)


def _treat_reread(data: JsonObject, rules: FieldRules, parts: _Parts) -> None:
    """Treat the date of a record that was read again like the field from which the date comes."""
    reread = data.get("reread")
    if reread is not None:
        date = treated_whole(reread["last_modified"], rules.of(_MODIFIED))
        parts.differing["reread"] = _without_dropped({**reread, "last_modified": date})


def _treat_payload(payload: Any, rules: FieldRules, parts: _Parts) -> None:
    """Treat the payload of a generic event: as a whole, or the members of its JSON."""
    whole = rules.data.get("payload", KEEP)
    held = _held(payload)
    if whole is not KEEP:
        parts.differing["payload"] = treated_whole(payload, whole)
        held = treated_whole(held, whole)
    elif rules.names_fields and "payload" not in rules.data and held is not None:
        held = _members(held, rules)
        # Text is always written again: the original text could contain a second member of the same name.
        parts.differing["payload"] = exact_text(held) if type(payload) is str else held
    parts.keyed = held if type(held) is dict else {}


def _held(payload: Any) -> Any:
    """Return the payload if it is an object or a list, or the object or list in its text, or `None`.

    Raises `NotProtected` for text that resembles JSON but is cut off or invalid,
    because its members can't be found. Other text, such as a line of a log, can
    also begin with a bracket.
    """
    if type(payload) is not str:
        return payload if type(payload) in {dict, list} else None
    text = payload.lstrip(_BEFORE_JSON)
    if not text.startswith(_BRACKETS):
        return None
    try:
        # orjson refuses values that `exact_tree` would read but that can't be written.
        orjson.loads(text)
        return exact_tree(text)
    except orjson.JSONDecodeError:
        if _MEMBER.search(text):
            raise NotProtected("the payload begins like JSON, but is not JSON") from None
        return None


def _members(value: Any, rules: FieldRules) -> Any:
    if type(value) is dict:
        return treated_fields(value, rules)
    return treated_list(value, rules) if type(value) is list else value


def _without_dropped(values: JsonObject) -> JsonObject:
    return {name: value for name, value in values.items() if value is not DROPPED}
