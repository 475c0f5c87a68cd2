"""Gap events in the progress of their continuity records."""

import re
from typing import Any

from streamer.events import Event, EventId, JsonObject
from streamer.replay_ids import replay_id_from_text, replay_id_to_text

_TEXTS = ("id", "source", "type", "time", "key", "channel", "replay_id")
_NAMES = ("change", "entity", "record_id")
_KEY = "gap"
_RECORD_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", re.ASCII)
# Salesforce's own texts are shorter; a record of the log has to hold all of them.
_LONGEST = 300
_MOST = 2**53


def gap_to_json(gap: Event) -> JsonObject | None:
    """Return a gap event as a small object of JSON, `None` for one without a readable record.

    Without its fields: a gap event has none of a user's, and what it has was not
    protected.
    """
    data = gap.data
    texts = {name: getattr(gap, name) for name in _TEXTS} | {"replay_id": replay_id_to_text(gap.replay_id)}
    told: JsonObject = {name: data.get(name) for name in _NAMES}
    if not all(map(_is_small_text, (*texts.values(), *told.values()))):
        return None
    if not _RECORD_ID.fullmatch(told["record_id"]):
        return None
    if isinstance(transaction := data.get("transaction"), dict):
        told["transaction"] = {name: each if _is_small(each) else None for name, each in transaction.items()}
    return {_KEY: {**texts, "subject": told["record_id"], "data": told}}


def gap_from_json(progress: JsonObject) -> Event:
    """Return the gap event that `gap_to_json` wrote; raises `ValueError`."""
    found = progress.get(_KEY)
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in _TEXTS):
        raise ValueError("a field is missing")
    data = found.get("data")
    told = data if isinstance(data, dict) else {}
    if not all(isinstance(told.get(name), str) for name in _NAMES):
        raise ValueError("it names no record")
    if not _RECORD_ID.fullmatch(told["record_id"]):
        raise ValueError("it names no record by its id")
    texts = {name: found[name] for name in _TEXTS}
    known = {**texts, "id": EventId(found["id"]), "replay_id": replay_id_from_text(found["replay_id"])}
    gap = Event(**known, subject=told["record_id"], data=told)
    if not gap.is_gap:
        raise ValueError("it is not a gap event")
    return gap


def _is_small_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST and value.isprintable()


def _is_small(value: Any) -> bool:
    return _is_small_text(value) or value is None or (type(value) is int and abs(value) <= _MOST)
