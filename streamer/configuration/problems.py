"""Messages about values that pydantic refuses, in the configuration's terms."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from streamer.configuration.document import HIDDEN, Document, Keys, holds, overlaps
from streamer.validation import LIST, SECTION, SIZES, sentence

_OF_SECTIONS = frozenset({LIST, SECTION})
# Last part of pydantic's location of an error about a key.
_KEY = "[key]"
_OF_KEYS = frozenset({"missing", "extra_forbidden", _KEY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Mistake at `keys`, with its message `line`.

    `follows` is true when another mistake has caused this one.
    """

    keys: Keys
    line: str
    follows: bool


def problems(
    error: ValidationError, document: Document, model: type[BaseModel], *, at: Keys = ()
) -> list[Problem]:
    """Return the mistakes in `error`, each with its file and line, the value found and the allowed values.

    `error` came from validating the part of `document` at `at` as `model`. An
    unreadable value, or a mistake in an entry of a list, can cause another mistake.
    """
    told: dict[Keys, list[_Refusal]] = {}
    for detail in error.errors(include_url=False):
        refusal = _Refusal.of(detail, document, model, at)
        told.setdefault(refusal.keys, []).append(refusal)
    return [
        Problem(
            keys=keys,
            line=_line(keys, refusals, document),
            follows=_follows(keys, refusals, document.mistakes, told),
        )
        for keys, refusals in told.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """One of pydantic's errors about `keys`: its kind, and Streamer's sentence."""

    keys: Keys
    kind: str
    sentence: str

    @classmethod
    def of(cls, detail: Any, document: Document, model: type[BaseModel], at: Keys) -> "_Refusal":
        kind = detail["type"]
        keys = (*at, *_keys(document.at(at), detail["loc"], kind))
        if kind.startswith("union_tag"):
            keys = (*keys, detail["ctx"]["discriminator"].strip("'"))
        if not holds(document.at(keys[:-1]), keys[-1]) and len(keys) > len(at):
            return cls(keys=keys, kind="missing", sentence="is missing")
        if detail["loc"][-1:] == (_KEY,):
            return cls(keys=keys, kind=_KEY, sentence=sentence(detail, keys[-1]))
        if kind == "extra_forbidden":
            said = _unknown_key(str(keys[-1]), _siblings(model, detail["loc"]))
        else:
            said = sentence(detail, document.at(keys), _field(model, detail["loc"]))
        return cls(keys=keys, kind=kind, sentence=said)


def _follows(
    keys: Keys, refusals: Sequence[_Refusal], unread: Mapping[Keys, str], told: Mapping[Keys, Any]
) -> bool:
    kinds = {refusal.kind for refusal in refusals}
    if kinds <= SIZES and any(key[: len(keys)] == keys != key for key in told):
        # pydantic counted only the valid entries.
        return True
    # An empty text replaces an unreadable value, and can break a rule of its section.
    return kinds != {"extra_forbidden"} and overlaps(keys, unread)


def _line(keys: Keys, refusals: Sequence[_Refusal], document: Document) -> str:
    sentences = list(dict.fromkeys(refusal.sentence for refusal in refusals))
    if refusals[0].kind in _OF_KEYS:
        return document.mistake(keys, sentences[0])
    value = document.at(keys)
    if document.is_secret(keys) and isinstance(value, str) and any(value in each for each in sentences):
        sentences = ["the value does not have the required form"]
    allowed = _joined(sentences)
    found = document.shown(keys)
    if isinstance(value, str) and _OF_SECTIONS.intersection(sentences):
        # A text instead of a section can be a secret that belongs below the section.
        found = HIDDEN
    return document.mistake(keys, f"found {found}; {allowed}" if found else allowed)


def _joined(sentences: Sequence[str]) -> str:
    """Join the sentences of a union's members into one sentence."""
    begin = "must be "
    if all(each.startswith(begin) for each in sentences):
        return begin + " or ".join(each.removeprefix(begin) for each in sentences)
    return "; or ".join(sentences)


def _keys(data: Any, loc: Keys, kind: str) -> Keys:
    """Return `loc` without pydantic's additions between keys, such as the names of union members."""
    keys: list[int | str] = []
    for index, part in enumerate(loc):
        is_last = index == len(loc) - 1
        if holds(data, part) and (is_last or not _is_tag(data, part)):
            data = data[part]
        elif not (is_last and kind == "missing"):
            continue
        keys.append(part)
    return tuple(keys)


def _is_tag(data: Any, part: int | str) -> bool:
    """Return true when `part` is the name of a union's member, which another key of `data` has chosen.

    The name of a union's member can also be a key's name, such as the flow `password`.
    """
    if not isinstance(data, dict) or isinstance(data[part], dict | list):
        return False
    return any(value == part for key, value in data.items() if key != part)


def _unknown_key(key: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, allowed, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"no such key; {hint}allowed: {', '.join(sorted(allowed))}" if allowed else "no such key"


def _field(model: type[BaseModel], loc: Keys) -> FieldInfo | None:
    """Return the field at the end of `loc`."""
    name = next((part for part in reversed(loc) if isinstance(part, str)), "")
    fields = [field for each in _holders(model, loc) if (field := each.model_fields.get(name))]
    return fields[0] if len(fields) == 1 else None


def _siblings(model: type[BaseModel], loc: Keys) -> list[str]:
    """Return the keys of the model that contains the last part of `loc`."""
    return sorted({name for each in _holders(model, loc) for name in each.model_fields})


def _holders(model: type[BaseModel], loc: Keys) -> list[type[BaseModel]]:
    """Return the models that can contain the last part of `loc`."""
    models: list[type[BaseModel]] = [model]
    for part in loc[:-1]:
        inner = [field.annotation for each in models if (field := each.model_fields.get(str(part)))]
        models = (
            [each for annotation in inner for each in _models(annotation)]
            or _tagged(models, str(part))
            or models
        )
    return models


def _tagged(models: Sequence[type[BaseModel]], tag: str) -> list[type[BaseModel]]:
    return [
        each
        for each in models
        if any(tag in get_args(field.annotation) for field in each.model_fields.values())
    ]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [each for argument in get_args(annotation) for each in _models(argument)]
