"""Record of the org at one time."""

from dataclasses import dataclass

from streamer.events import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgRecord:
    """One record as it was when it was read.

    `fields` have the form of a change event's, with null for an empty one. The
    times are as in events (`2025-01-01T00:00:00.000Z`), and `None` where the entity
    has none.
    """

    entity: str
    id: str
    fields: JsonObject
    is_deleted: bool = False
    """True for a record in the Recycle Bin, which only `queryAll` returns."""
    last_modified: str | None = None
    system_modstamp: str | None = None
