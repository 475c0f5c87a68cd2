"""Reads the configuration files into settings, and says exactly what is wrong with them."""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError

from streamer.configuration.document import Document, read_document
from streamer.errors import ConfigurationError
from streamer.settings import Settings

_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake: where it stands, what was found there and what is allowed."""

    place: str
    key: str
    sentence: str

    def __str__(self) -> str:
        """Return one line for a person."""
        return f"{self.place}: {self.key}: {self.sentence}" if self.key else f"{self.place}: {self.sentence}"


def load_document(paths: Sequence[Path], environ: Mapping[str, str] = os.environ) -> Document:
    """Return `paths`, merged in their order, as plain data.

    Mappings merge key by key and anything else replaces. `${NAME}` and
    `${NAME:-default}` in a text come from `environ`; `{file: path}` stands for
    a file's content without the final line break, its path relative to the
    file that names it.

    Raises `ConfigurationError`.
    """
    return Document.merged([read_document(path, environ) for path in paths])


def load(document: Document) -> Settings:
    """Return the settings that `document` describes.

    Raises `ConfigurationError` with one line for each mistake.
    """
    try:
        return Settings.model_validate(document.data)
    except ValidationError as error:
        raise ConfigurationError("\n".join(map(str, problems(error, document, Settings)))) from None


def problems(
    error: ValidationError, document: Document, model: type[BaseModel], *, at: tuple[str, ...] = ()
) -> list[Problem]:
    """Return what `error`, of validating the part of `document` at `at` as `model`, means to its author."""
    found = []
    for detail in error.errors(include_url=False):
        keys = _keys(document.at(at), detail["loc"])
        place = document.place((*at, *keys))
        found.append(
            Problem(
                place=place,
                key=".".join(map(str, (*at, *keys))),
                sentence=_sentence(detail, keys, document, at, model),
            )
        )
    return found


def _keys(data: Any, loc: Sequence[int | str]) -> tuple[int | str, ...]:
    """Return `loc` without the names of union members that pydantic puts between keys."""
    keys: list[int | str] = []
    for index, part in enumerate(loc):
        inner = _step(data, part)
        if inner is not None:
            data = inner
        elif index < len(loc) - 1:
            continue
        elif not isinstance(data, dict):
            break
        keys.append(part)
    return tuple(keys)


def _step(data: Any, part: int | str) -> Any:
    try:
        return data[part]
    except (KeyError, IndexError, TypeError):
        return None


def _sentence(
    detail: Any, keys: tuple[int | str, ...], document: Document, at: tuple[str, ...], model: type[BaseModel]
) -> str:
    kind, message = detail["type"], detail["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return _unknown_key(str(keys[-1]), _siblings(model, detail["loc"]))
    found = _shown((*at, *keys), document)
    return f"found {found}; {message[0].lower()}{message[1:]}" if found else message


def _unknown_key(key: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, allowed, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"no such key; {hint}allowed: {', '.join(sorted(allowed))}" if allowed else "no such key"


def _siblings(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """Return the keys of the model that holds the last part of `loc`."""
    models: list[type[BaseModel]] = [model]
    for part in loc[:-1]:
        inner = [field.annotation for each in models if (field := each.model_fields.get(str(part)))]
        models = (
            [each for annotation in inner for each in _models(annotation)]
            or _tagged(models, str(part))
            or models
        )
    return sorted({name for each in models for name in each.model_fields})


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


def _shown(keys: tuple[int | str, ...], document: Document) -> str:
    if document.is_secret(keys):
        return "a value that is not shown"
    value = document.at(keys)
    if isinstance(value, dict | list | tuple | SecretStr):
        return ""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
