"""Conversion of the org's records, from REST or the Bulk API 2.0, to events.

A record becomes an event as the change stream would have told it: the same
names, the same compound fields, the same form of each value.
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
