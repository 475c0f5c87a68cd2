"""Converts a browser's forms and queries into requests of the admin API."""

import json
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin
from urllib.parse import parse_qsl

from aiohttp import web
from pydantic import AwareDatetime, BaseModel

from streamer.admin.schemas import ApiError

FORM_TYPE = "application/x-www-form-urlencoded"

Fields = Sequence[tuple[str, str]]
"""Names and values of a form, in the form's order."""

_MOST_FIELDS = 2_000
_MINUTES = len("2026-01-31T09:30")
_SECONDS = len("2026-01-31T09:30:00")

_Model = TypeVar("_Model", bound=BaseModel)


async def form_of(request: web.Request) -> Fields:
    """Return the fields of the form in `request`. Raises `ApiError` if the body is not a form."""
    if request.content_type != FORM_TYPE:
        raise ApiError(415, "Send this request from a form of the console.")
    try:
        text = (await request.read()).decode()
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ConnectionError:
        raise ApiError(400, "The form is incomplete: reload the page, and send the form again.") from None
    except ValueError:
        raise ApiError(
            400, "Streamer can't read the form: reload the page, and send the form again."
        ) from None


def first(fields: Fields, name: str) -> str:
    """Return the first value of the field `name`, or an empty text."""
    return next((value for key, value in fields if key == name), "")


def filled(model: type[_Model], fields: Fields, /, **given: Any) -> _Model:
    """Return `fields` as a `model`; values in `given` override the browser's values.

    Blank fields get their defaults, and unknown names are ignored. A time without a
    zone is in UTC. Raises `ValidationError`.
    """
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        found = [value.strip() for key, value in fields if key == name and value.strip()]
        if not found:
            continue
        kinds = _kinds(field.annotation)
        if any(get_origin(kind) is tuple for kind in kinds):
            values[name] = found
        elif any(kind is AwareDatetime or get_origin(kind) is AwareDatetime for kind in kinds):
            values[name] = _in_utc(found[-1])
        else:
            values[name] = found[-1]
    return model.model_validate({**values, **given})


def object_of(text: str) -> dict[str, Any] | None:
    """Return the JSON object in a text area, or `None` for a blank text. Raises `ApiError` for other text."""
    if not text.strip():
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ApiError(400, "The test event's data must be JSON.") from None
    if not isinstance(found, dict):
        raise ApiError(400, 'The test event\'s data must be a JSON object, such as {"entity": "Account"}.')
    return found


def unset(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return `fields` without the fields that are `None` or empty."""
    return {name: value for name, value in fields.items() if value not in (None, "", ())}


def _kinds(annotation: Any) -> Sequence[Any]:
    """Return the members of a union type; return any other type as the only member."""
    members = get_args(annotation)
    if get_origin(annotation) is not tuple and NoneType in members:
        return [each for each in members if each is not NoneType]
    return [annotation]


def _in_utc(text: str) -> str:
    """Return the text of a time input with seconds and the zone UTC."""
    if len(text) == _MINUTES:
        return f"{text}:00Z"
    return f"{text}Z" if len(text) == _SECONDS else text
