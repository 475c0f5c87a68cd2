"""Slack message of an event, within Slack's limits."""

import re
from typing import Any
from urllib.parse import quote

from streamer.events import Delivery, Event, JsonObject

# Slack's reference: "Text object", "Header block", and chat.postMessage's "text".
SECTION_CHARACTERS = 3_000
HEADER_CHARACTERS = 150
TEXT_CHARACTERS = 40_000


def message(delivery: Delivery, *, blocks: bool, record_url: str | None) -> JsonObject:
    """Return a message for `delivery`: its `text`, and with `blocks` also blocks.

    The text is the subscriber's `text` or, without one, the event's type and
    record. Members of an object `body` override it, so that a mapping can add
    `thread_ts` or its own blocks.
    """
    said = delivery.text or _default_text(delivery.event)
    payload: JsonObject = {"text": escaped(said, TEXT_CHARACTERS)}
    if blocks:
        payload["blocks"] = _blocks(delivery.event, said, record_url)
    if isinstance(delivery.body, dict):
        payload |= {name: value for name, value in delivery.body.items() if value is not None}
    return payload


def escaped(text: str, limit: int) -> str:
    """Return `text` with Slack's three control characters escaped, cut with an ellipsis at `limit`.

    A record's content can then neither mention people nor make links.
    """
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(safe) <= limit:
        return safe
    # Every & begins an escape now; half of one is cut off too.
    return re.sub(r"&[a-z]*$", "", safe[: limit - 1]) + "…"


def _default_text(event: Event) -> str:
    return f"{_title(event)}: {event.subject or event.id}"


def _title(event: Event) -> str:
    name, _, what = event.type.removeprefix("salesforce.").partition(".")[2].partition(".")
    return f"{name} {what}".strip() or event.type


def _blocks(event: Event, said: str, record_url: str | None) -> list[JsonObject]:
    title = _title(event)
    if len(title) > HEADER_CHARACTERS:
        title = title[: HEADER_CHARACTERS - 1] + "…"
    return [
        # Slack shows plain text as it is, so it is not escaped.
        {"type": "header", "text": {"type": "plain_text", "text": title}},
        {"type": "section", "text": _mrkdwn(escaped(said, SECTION_CHARACTERS))},
        {"type": "context", "elements": [_mrkdwn(_origin(event, record_url))]},
    ]


def _mrkdwn(text: str) -> dict[str, Any]:
    # Slack then makes no links of names and addresses that a record holds.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _origin(event: Event, record_url: str | None) -> str:
    time = escaped(event.time, 100)
    if event.subject is None:
        return f"{escaped(event.id, 500)} · {time}"
    subject = escaped(event.subject, 500)
    if record_url is None:
        return f"{subject} · {time}"
    link = escaped(record_url.replace("{id}", quote(event.subject, safe="")), 2_000)
    return f"<{link}|{subject}> · {time}"
