"""Conversion of the org's records, from REST or the Bulk API 2.0, to events.

The event of a record has the form of a change event: the same names, the same
compound fields, and the same form of each value.
"""

from streamer.normalise.records.events import (
    OrgRecord,
    SnapshotRead,
    recovered_event,
    snapshot_deletion,
    snapshot_event,
)
from streamer.normalise.records.shape import RecordShape

__all__ = [
    "OrgRecord",
    "RecordShape",
    "SnapshotRead",
    "recovered_event",
    "snapshot_deletion",
    "snapshot_event",
]
