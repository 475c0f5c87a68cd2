"""Records that users have recently viewed (REST API guide, Recently Viewed Items)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from streamer.sandbox.org.automatic_fields import name_field
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.schema import Entity
from streamer.sandbox.rest.call import RestCall, SandboxResponse
from streamer.sandbox.rest.representations import record_body
from streamer.sandbox.rest.resources import Resources

MOST_RECENT = 200
"""Largest number of entries in a user's list."""

_LIMIT = re.compile(r"[0-9]{1,9}")
# Object reference, RecentlyViewed, special usage rules.
_UNSUPPORTED = frozenset({"Event", "Task"})


class RecentlyViewed:
    """Serves `recent`: the records that each user has viewed last, the latest first."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[tuple[str, str], None]] = {}

    def add_to(self, resources: Resources) -> None:
        """Serve the list."""
        resources.add("/recent", get=self._list)

    def mark(self, user_id: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Record that a user has viewed or referenced the rows of a query's answer.

        The last row counts as the latest.
        """
        seen = self._seen.setdefault(user_id, {})
        for row in rows:
            key = _key(row["attributes"])
            if key[0] not in _UNSUPPORTED:
                seen.pop(key, None)
                seen[key] = None
        for key in list(islice(seen, max(0, len(seen) - MOST_RECENT))):
            del seen[key]

    def _list(self, call: RestCall) -> SandboxResponse:
        asked = call.query.get("limit", "")
        most = int(asked) if _LIMIT.fullmatch(asked) else MOST_RECENT
        found = (_body(call, entity, record) for entity, record in self._readable(call))
        return SandboxResponse(body=list(islice(found, most)))

    def _readable(self, call: RestCall) -> Iterator[tuple[Entity, Record]]:
        readable = {entity.name: entity for entity in call.schema.entities}
        for type_name, record_id in reversed(self._seen.get(call.session.user_id, {})):
            entity = readable.get(type_name)
            record = call.org.records.get(entity, record_id) if entity is not None else None
            if entity is not None and record is not None and not record["IsDeleted"]:
                yield entity, record


def _key(attributes: Mapping[str, str]) -> tuple[str, str]:
    return attributes["type"], attributes["url"].rpartition("/")[2]


def _body(call: RestCall, entity: Entity, record: Record) -> dict[str, Any]:
    """Return an entry of the list; the name of a case is its number, and a hidden name is empty."""
    field = name_field(entity)
    if call.schema.readable(entity, field) is None:
        return {**record_body(call, entity, record, ["Id"]), "Name": None}
    body = record_body(call, entity, record, ["Id", field])
    return {"attributes": body["attributes"], "Id": body["Id"], "Name": body[field]}
