"""Parser of a declared schema, which finds all mistakes at once."""

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from streamer.sandbox.org.definitions.consistency import inconsistencies
from streamer.sandbox.org.definitions.declaration import (
    DeclaredEvent,
    DeclaredEventField,
    DeclaredField,
    DeclaredObject,
    DeclaredSchema,
)
from streamer.sandbox.org.definitions.mistakes import DeclarationError, Keys, Mistake
from streamer.validation import sentence

_MODELS: Mapping[tuple[str, int], type[BaseModel]] = {
    ("objects", 2): DeclaredObject,
    ("objects", 4): DeclaredField,
    ("events", 2): DeclaredEvent,
    ("events", 4): DeclaredEventField,
}
# The first round finds all mistakes of form; a second round confirms that there are no others.
_MOST_ROUNDS = 4
# A mistake makes a whole part invalid: a field of an object or event, or a channel. The number is the depth
# of this part.
_WHOLE = {"objects": 4, "events": 4, "channels": 2}


def parse_schema(data: Any) -> DeclaredSchema:
    """Return the declared schema in `data`; raises `DeclarationError` with every mistake."""
    if data is None:
        data = {}
    if not isinstance(data, Mapping):
        raise DeclarationError([Mistake((), f"must be a mapping with the keys {_keys_of(DeclaredSchema)}")])
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
            # Parts with mistakes are removed, so that the other parts can be checked.
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
        model = _MODELS.get((str(keys[0]), len(keys) - 1), DeclaredSchema)
        return Mistake(keys, f"is not a known key here: use {_keys_of(model)}")
    if error["type"] == "string_pattern_mismatch":
        return Mistake(keys, 'must be three letters or digits, such as "701"')
    return Mistake(keys, sentence(error, error["input"]))


def _keys_of(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)
