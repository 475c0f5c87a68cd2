"""Parser of a declared schema, which finds all mistakes at once."""

import copy
from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from streamer.sandbox.org.definitions.consistency import inconsistencies
from streamer.sandbox.org.definitions.declaration import DeclaredSchema
from streamer.sandbox.org.definitions.mistakes import DeclarationError, Keys, Mistake

_TOP = "objects, events, channels, closed"
_KEYS = {
    ("objects", 2): "label, prefix, fields",
    ("objects", 4): "type, label, required, length, precision, scale, unique, case_sensitive, external_id, "
    "to, child_relationship, cascade, values, restricted",
    ("events", 2): "label, fields",
    ("events", 4): "type, label, required, length, precision, scale",
}
_SENTENCES = {
    "string_type": "must be a text",
    "missing": "is missing; give it",
    "model_type": "must be a mapping of keys",
    "dict_type": "must be a mapping of keys",
    "tuple_type": "must be a list, such as [Name, Phone]",
    "string_pattern_mismatch": 'must be three letters or digits, such as "701"',
}
# One round finds all mistakes of form; a second one confirms that nothing else is wrong.
_MOST_ROUNDS = 4
# The depth of the whole that a mistake spoils: a field of an object or event, or a channel.
_WHOLE = {"objects": 4, "events": 4, "channels": 2}


def parse_schema(data: Any) -> DeclaredSchema:
    """Return the declared schema in `data`; raises `DeclarationError` with every mistake."""
    if data is None:
        data = {}
    if not isinstance(data, Mapping):
        raise DeclarationError([Mistake((), f"must be a mapping with the keys {_TOP}")])
    sound = copy.deepcopy(dict(data))
    mistakes: list[Mistake] = []
    schema = DeclaredSchema()
    for _ in range(_MOST_ROUNDS):
        try:
            schema = DeclaredSchema.model_validate(sound)
            break
        except ValidationError as error:
            found = [_mistake(each) for each in error.errors(include_url=False)]
            mistakes += found
            # What is wrong goes, so that the rest can be compared.
            for whole in sorted({_whole(mistake.keys) for mistake in found}, key=len, reverse=True):
                if not _removed(sound, whole):
                    sound.pop(whole[0], None)
    spoiled = {_whole(mistake.keys) for mistake in mistakes}
    mistakes += inconsistencies(schema, spoiled)
    if mistakes:
        raise DeclarationError(mistakes)
    return schema


def _whole(keys: Keys) -> Keys:
    return keys[: _WHOLE.get(str(keys[0]), 1)] if keys else keys


def _removed(data: Any, keys: Keys) -> bool:
    for key in keys[:-1]:
        data = data.get(key) if isinstance(data, dict) else None
    if not keys or not isinstance(data, dict) or keys[-1] not in data:
        return False
    del data[keys[-1]]
    return True


def _mistake(error: ErrorDetails) -> Mistake:
    keys = tuple(key for key in error["loc"] if key != "[key]")
    if error["type"] == "extra_forbidden":
        known = _KEYS.get((str(keys[0]), len(keys) - 1), _TOP)
        return Mistake(keys, f"is not a key here; there are {known}")
    return Mistake(keys, _sentence(error))


def _sentence(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind == "string_type" and isinstance(error["input"], bool | int | float | date):
        return "must be a text; put it in quotes, because YAML reads it as something else"
    return _SENTENCES.get(kind) or f"{error['msg'][0].lower()}{error['msg'][1:]}"
