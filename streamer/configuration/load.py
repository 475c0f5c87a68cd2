"""Loading of the configuration's files into settings, with exact messages for mistakes."""

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from streamer.configuration.document import Document, Keys, holds
from streamer.configuration.reading import read_document
from streamer.errors import ConfigurationError
from streamer.settings import Settings


def load_document(paths: Sequence[Path], environ: Mapping[str, str] = os.environ) -> Document:
    """Return the files `paths`, merged in their order, as a document.

    Mappings merge key by key; any other value replaces. `${NAME}` and
    `${NAME:-default}` in a text come from `environ`. `{file: path}` stands for
    a file's content without the final line break; the path is relative to the
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
        raise ConfigurationError("\n".join(problems(error, document, Settings))) from None


def problems(
    error: ValidationError, document: Document, model: type[BaseModel], *, at: Keys = ()
) -> list[str]:
    """Return a line for each mistake in `error`: its place, the value found and the allowed ones.

    `error` came from the validation of the part of `document` at `at` as `model`.
    """
    return [_problem(detail, document, model, at) for detail in error.errors(include_url=False)]


def _problem(detail: Any, document: Document, model: type[BaseModel], at: Keys) -> str:
    keys = (*at, *_keys(document.at(at), detail["loc"]))
    kind, context = detail["type"], detail.get("ctx", {})
    if kind.startswith("union_tag"):
        keys = (*keys, context["discriminator"].strip("'"))
    if kind == "extra_forbidden":
        return document.mistake(keys, _unknown_key(str(keys[-1]), _siblings(model, detail["loc"])))
    if not holds(document.at(keys[:-1]), keys[-1]):
        return document.mistake(keys, "is missing")
    allowed = (
        f"allowed: {context['expected_tags']}"
        if kind == "union_tag_invalid"
        else _allowed(detail, document, keys)
    )
    found = document.shown(keys)
    return document.mistake(keys, f"found {found}; {allowed}" if found else allowed)


def _allowed(detail: Any, document: Document, keys: Keys) -> str:
    message: str = detail["msg"].removeprefix("Value error, ")
    value = document.at(keys)
    if document.is_secret(keys) and isinstance(value, str) and value in message:
        return "it does not have the required form"
    return message[0].lower() + message[1:]


def _keys(data: Any, loc: Keys) -> Keys:
    """Return `loc` without the parts that pydantic adds between keys, such as names of union members."""
    keys: list[int | str] = []
    for index, part in enumerate(loc):
        is_last = index == len(loc) - 1
        # A member can have the name of a key beside it, such as the flow `password`.
        if holds(data, part) and (is_last or isinstance(part, int) or isinstance(data[part], dict | list)):
            data = data[part]
        elif not is_last or not isinstance(data, dict) or part == "[key]":
            continue
        keys.append(part)
    return tuple(keys)


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
