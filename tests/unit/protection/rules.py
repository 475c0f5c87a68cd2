"""Rules as operators write them, and events that they protect."""

from typing import Any

from streamer.events import Channel, Event
from streamer.normalise import normaliser_for
from streamer.protection import NotProtected, ProtectedEvents, Rules
from streamer.settings import ProtectionSettings, ProtectRule
from tests.messages import CHANGES, ORG, change, events_of

KEY = "an-invented-key-of-32-characters"
SETTINGS = ProtectionSettings.model_validate({"key": KEY, "key_id": "k1"})
READ = normaliser_for(CHANGES)


def rule(how: str, *fields: str, entity: str | None = "*", **more: Any) -> ProtectRule:
    """Return a rule for `fields`."""
    return ProtectRule.model_validate({"entity": entity, "fields": fields, "how": how, **more})


def protected(
    event: Event, *rules: ProtectRule, key: str | None = None, settings: ProtectionSettings = SETTINGS
) -> Event:
    """Return `event` as it is stored."""
    (found,) = ProtectedEvents(Rules(rules, settings), key=key).of([event])
    assert not isinstance(found, NotProtected), found
    return found


def fields_of(
    *rules: ProtectRule, entity: str = "Contact", settings: ProtectionSettings = SETTINGS, **fields: Any
) -> dict[str, Any]:
    """Return the stored fields of a change that has `fields`."""
    (event,) = events_of(READ, change(1, "003A", entity=entity, **fields))
    stored: dict[str, Any] = protected(event, *rules, settings=settings).data["fields"]
    return stored


def event_on(path: str, data: Any, *, key: str | None = None) -> Event:
    """Return the event of a message with `data` on the channel at `path`."""
    (event,) = events_of(
        normaliser_for(Channel(org=ORG, path=path), key=key), {"channel": path, "data": data}
    )
    return event


def generic(payload: Any, *, key: str | None = None) -> Event:
    """Return a generic event."""
    about = {"createdDate": "2025-01-01T00:00:00.334Z", "replayId": 55}
    return event_on("/u/Notes", {"event": about, "payload": payload}, key=key)
