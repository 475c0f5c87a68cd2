"""Texts and answers from plugins: limited in length, and without secrets.

A plugin is foreign code. The functions that read a plugin's values raise no error, even
if a method of such a value fails.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

from streamer.events import AttemptExchange, answer_beginning
from streamer.known_secrets import KNOWN
from streamer.observe import redaction

_TEXT_CHARACTERS = 2_000
_ANSWER_BYTES = 20_000


def named(error: BaseException) -> str:
    """Return the type and the text of `error`, limited in length and with secrets masked."""
    name = type(error).__name__
    try:
        said = f"{name}: {error}"
    except BaseException:  # noqa: BLE001 - a foreign __str__ can raise anything
        said = f"{name} (the error's text can't be read)"
    return masked(said)


def masked(text: str) -> str:
    """Return `text` for a log line: limited in length and with secrets masked."""
    return bounded(redaction.masked(text))


def kept(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer to keep in a receipt; a large answer is cut to the beginning of its text."""
    try:
        is_small = len(orjson.dumps(dict(answer), default=repr)) <= _ANSWER_BYTES
    except BaseException:  # noqa: BLE001 - a foreign __repr__ can raise anything
        is_small = False
    return answer if is_small else excerpt_of(answer)


def exchange_of(value: object) -> AttemptExchange | None:
    """Return the exchange of an outcome within its limits and without secrets; `None` for another value."""
    # A plugin can give any value, and a field of the value can have any type.
    with suppress(BaseException):
        if isinstance(value, AttemptExchange):
            headers = {str(name): redaction.masked(str(said)) for name, said in value.headers.items()}
            return AttemptExchange(
                request=redaction.masked(str(value.request)),
                size=int(value.size),
                digest=str(value.digest),
                status=None if value.status is None else int(value.status),
                headers=headers,
            ).bounded
    return None


def answer_beyond(reason: str, answer: str) -> str:
    """Return the beginning of an answer on one line, or an empty text if `reason` contains it.

    Many plugins put the answer into the reason, so that both would show the same text.
    """
    said = answer_beginning(redaction.masked(answer[:_TEXT_CHARACTERS]))
    return "" if said.removesuffix("…") in reason else said


def without_secrets(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `answer` without the secrets in use; the same object if it contains none."""
    try:
        written = orjson.dumps(answer, default=repr)
    except (TypeError, ValueError, RecursionError):
        return excerpt_of(answer)
    return answer if KNOWN.hidden_bytes(written) == written else KNOWN.hidden_in(answer)


def text_of(value: object) -> str:
    """Return a value as text; empty for `None`."""
    if isinstance(value, str):
        # The function str() is not used, because a subclass can override its result, as members
        # of an enum do.
        return str.__str__(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    return "" if value is None else _shown(value)


def _shown(value: object) -> str:
    try:
        return str.__str__(repr(value))
    except RecursionError:
        return "The value is nested too deeply to be shown."
    except BaseException:  # noqa: BLE001 - a foreign __repr__ can raise anything
        return f"The value, a {type(value).__name__}, can't be shown."


def mapping_of(answer: object) -> Mapping[str, Any]:
    """Return an answer as a dictionary; an answer that is not a mapping becomes its text."""
    # Reading the mapping can fail, because it can read from a resource that is already closed.
    with suppress(BaseException):
        if isinstance(answer, Mapping):
            return dict(answer)
    return excerpt_of(answer)


def excerpt_of(answer: object) -> Mapping[str, Any]:
    """Return an answer that contains the beginning of the text of `answer`."""
    return {"text": excerpt(_shown(answer))}


def excerpt(text: str) -> str:
    """Return the beginning of `text`, without the secrets in use."""
    # Hide secrets before cutting, because half of a secret would not be recognised.
    return (
        KNOWN.hidden(text)[:_ANSWER_BYTES]
        .encode("utf-8", "replace")[:_ANSWER_BYTES]
        .decode("utf-8", "ignore")
    )


def bounded(text: str) -> str:
    """Return the beginning of `text`, cut to the length of a reason."""
    return text if len(text) <= _TEXT_CHARACTERS else text[: _TEXT_CHARACTERS - 1] + "…"
