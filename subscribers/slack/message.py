"""Slack message for an event, within Slack's limits."""

from urllib.parse import quote

from streamer.events import Delivery, Event, JsonObject
from subscribers.slack.markup import SECTION_CHARACTERS, TEXT_CHARACTERS, escaped, mrkdwn, safe_members

# Slack's reference: "Header block".
HEADER_CHARACTERS = 150


def message(delivery: Delivery, *, blocks: bool, record_url: str | None) -> JsonObject:
    """Return a message for `delivery` with a `text`, and with `blocks` if wanted.

    The message's text is the subscriber's `text`, or without a `text`, the event's type
    and record. If `body` is an object, the members of `body` override the message's
    members. So a mapping can add `thread_ts` or blocks.
    """
    said = delivery.text or _default_text(delivery.event)
    payload: JsonObject = {"text": escaped(said, TEXT_CHARACTERS)}
    if blocks:
        payload["blocks"] = _blocks(delivery.event, said, record_url)
    if isinstance(delivery.body, dict):
        payload |= safe_members(delivery.body)
    return payload


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
        # Slack shows plain text unchanged, so it is not escaped.
        {"type": "header", "text": {"type": "plain_text", "text": title}},
        {"type": "section", "text": mrkdwn(escaped(said, SECTION_CHARACTERS))},
        {"type": "context", "elements": [mrkdwn(_origin(event, record_url))]},
    ]


def _origin(event: Event, record_url: str | None) -> str:
    time = escaped(event.time, 100)
    if event.subject is None:
        return f"{escaped(event.id, 500)} · {time}"
    subject = escaped(event.subject, 500)
    if record_url is None:
        return f"{subject} · {time}"
    link = escaped(record_url.replace("{id}", quote(event.subject, safe="")), 2_000)
    return f"<{link}|{subject}> · {time}"
