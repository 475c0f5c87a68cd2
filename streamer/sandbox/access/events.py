"""Permissions on events: which users can subscribe to a channel, and which fields they see.

As the CDC guide says (required permissions, field-level security), sharing rules are
ignored, and hidden fields are left out.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from streamer.sandbox.access.user import ObjectPermission, User
from streamer.sandbox.org.channels import ALL_CHANGES
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.schema import Entity, Schema, changed_type

_NO_CHANGES = "403::User not allowed to subscribe CDC without View All Data permissions"
_NO_ENTITY = "403::Subscriber does not have access to the entity in this topic"
_NO_CHANNEL = "403::Restricted channel"


def channel_refusal(user: User, path: str) -> str | None:
    """Return the reason why a user can't subscribe to a channel that exists, or `None`.

    Every user can subscribe to a channel of several types, because its events are
    filtered for each user.
    """
    if not user.may_subscribe(path):
        return _NO_CHANNEL
    kind, _, name = path.removeprefix("/").partition("/")
    if name.endswith("__chn") or path == ALL_CHANGES:
        return None
    if kind == "data" and (entity := changed_type(name)) is not None:
        return None if user.may(entity, ObjectPermission.VIEW_ALL) else _NO_CHANGES
    if kind == "event":
        return None if user.may(name, ObjectPermission.READ) else _NO_ENTITY
    return None


@dataclass(frozen=True, slots=True)
class EventView:
    """Shows events as one user sees them.

    The permissions are those that the user had when the subscription began.
    """

    schema: Schema
    user: User

    def __call__(self, data: bytes) -> bytes | None:
        """Return the data of an event without hidden fields, or `None` if the user can't see the event."""
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            # An unreadable message has no entity, so no permissions can be checked.
            return data
        header = _within(event, "payload", "ChangeEventHeader")
        if not isinstance(header, dict):
            name = _within(event, "event", "EventApiName")
            return data if name is None or self.user.may(str(name), ObjectPermission.READ) else None
        if not self.user.may(header["entityName"], ObjectPermission.VIEW_ALL):
            return None
        try:
            entity = self.schema.entity(header["entityName"])
        except Refused:
            return data
        return orjson.dumps(self._without_hidden(event, entity)) if self.user.hidden_fields else data

    def _without_hidden(self, event: Any, entity: Entity) -> dict[str, Any]:
        hidden = {name for name in entity.fields if self.user.hides(entity.name, name)}
        hidden |= {".".join(entity.parts[name]) for name in hidden & entity.parts.keys()}
        hidden |= {name for name in entity.compounds if self.user.hides(entity.name, name)}
        payload = {name: value for name, value in event["payload"].items() if name not in hidden}
        for compound in entity.compounds & payload.keys():
            if isinstance(payload[compound], dict):
                parts = payload[compound].items()
                shown = {part: value for part, value in parts if f"{compound}.{part}" not in hidden}
                payload[compound] = shown
        header = dict(payload["ChangeEventHeader"])
        header["changedFields"] = [
            name
            for name in header.get("changedFields", ())
            if name not in hidden and name.partition(".")[0] not in hidden
        ]
        return {**event, "payload": {**payload, "ChangeEventHeader": header}}


def _within(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
