"""Slack's markup, escaped so that an event's values can't create links or mentions."""

import re
from typing import Any

from streamer.events import JsonObject, WrittenText

# Slack's reference: chat.postMessage's "text", "Text object", and the fields of "Section block".
TEXT_CHARACTERS = 40_000
SECTION_CHARACTERS = 3_000
_FIELD_CHARACTERS = 2_000

# Members of a secondary attachment that Slack reads as mrkdwn.
_OF_ATTACHMENTS = frozenset({"pretext", "text"})


def escaped(text: str, limit: int) -> str:
    """Return `text` with Slack's three control characters escaped; a longer text than `limit` is shortened.

    So values of a record can neither mention people nor create links in a message.
    """
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(safe) <= limit:
        return safe
    # Every & now begins an escape; an incomplete escape at the end is removed.
    return re.sub(r"&[a-z]*$", "", safe[: limit - 1]) + "…"


def mrkdwn(text: str) -> JsonObject:
    """Return a text object for `text`, which is already markup."""
    # With verbatim, Slack creates no links from names and addresses in the text.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def safe_members(body: JsonObject) -> JsonObject:
    """Return the members of a message with every mrkdwn text escaped, except `WrittenText`.

    The mrkdwn texts are the message's text, the text objects of the message's blocks,
    and the texts and values of the message's attachments. Slack shows plain text
    unchanged, so plain text is not escaped.
    """
    members = {name: _safe(value, SECTION_CHARACTERS) for name, value in body.items() if value is not None}
    if isinstance(body.get("text"), str):
        members["text"] = _of_event(body["text"], TEXT_CHARACTERS)
    if isinstance(body.get("attachments"), list):
        members["attachments"] = [_attachment(each) for each in members["attachments"]]
    return members


def _safe(value: Any, limit: int) -> Any:
    if isinstance(value, list):
        return [_safe(each, limit) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "mrkdwn" and isinstance(value.get("text"), str):
        return {"verbatim": True, **value, "text": _of_event(value["text"], limit)}
    return {
        name: _safe(part, _FIELD_CHARACTERS if name == "fields" else limit) for name, part in value.items()
    }


def _attachment(attachment: Any) -> Any:
    if not isinstance(attachment, dict):
        return attachment
    safe = {
        name: _of_event(part, SECTION_CHARACTERS)
        if name in _OF_ATTACHMENTS and isinstance(part, str)
        else part
        for name, part in attachment.items()
    }
    if isinstance(safe.get("fields"), list):
        safe["fields"] = [_field(each) for each in safe["fields"]]
    return safe


def _field(field: Any) -> Any:
    if not isinstance(field, dict) or not isinstance(field.get("value"), str):
        return field
    return {**field, "value": _of_event(field["value"], _FIELD_CHARACTERS)}


def _of_event(text: str, limit: int) -> str:
    return text if isinstance(text, WrittenText) else escaped(text, limit)
