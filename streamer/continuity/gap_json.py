"""Gap events in the progress of their continuity records."""

from streamer.events import Event, EventId, JsonObject
from streamer.replay_ids import replay_id_from_text, replay_id_to_text

_TEXTS = ("id", "source", "type", "time", "key", "channel", "replay_id")
_KEY = "gap"


def gap_to_json(gap: Event) -> JsonObject:
    """Return a gap event as an object of JSON."""
    texts = {name: getattr(gap, name) for name in _TEXTS}
    found = {**texts, "replay_id": replay_id_to_text(gap.replay_id), "subject": gap.subject, "data": gap.data}
    return {_KEY: found}


def gap_from_json(progress: JsonObject) -> Event:
    """Return the gap event that `gap_to_json` wrote; raises `ValueError`."""
    found = progress.get(_KEY)
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in _TEXTS):
        raise ValueError("a field is missing")
    data, subject = found.get("data"), found.get("subject")
    told = data if isinstance(data, dict) else {}
    if not all(isinstance(told.get(name), str) for name in ("change", "entity", "record_id")):
        raise ValueError("it names no record")
    texts = {name: found[name] for name in _TEXTS}
    known = {**texts, "id": EventId(found["id"]), "replay_id": replay_id_from_text(found["replay_id"])}
    gap = Event(**known, subject=subject if isinstance(subject, str) else None, data=told)
    if not gap.is_gap:
        raise ValueError("it is no gap event")
    return gap
