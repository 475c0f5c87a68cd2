"""Treatment of an event's fields and their inner parts, down to single values."""

from collections.abc import Collection
from typing import Any

from streamer.events import JsonObject
from streamer.protection.rules import FieldRules
from streamer.protection.treatments import DROP, KEEP, FixedTreatment, Treatment

DROPPED = object()
"""Marks a value that was removed."""

# A generic event can contain any JSON.
_DEEPEST = 64
_LONGEST_PATH = 4_096


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
