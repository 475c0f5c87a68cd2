"""Repair of holes: reads from the org the changes that Salesforce withheld."""

from streamer.continuity.channel_repairs import ChannelRepairs
from streamer.continuity.entity_reader import BULK_FROM, PAGE_ROWS, EntityReader
from streamer.continuity.gaps import GapRepair
from streamer.continuity.letter_redrives import LetterDecoder, LetterRedrives
from streamer.continuity.progress import reason_of
from streamer.continuity.readings import Readings
from streamer.continuity.snapshots import (
    SnapshotForecast,
    SnapshotForecaster,
    Snapshots,
    begun_record,
    has_records_of,
    snapshot_mistake,
    where_of,
)

__all__ = [
    "BULK_FROM",
    "PAGE_ROWS",
    "ChannelRepairs",
    "EntityReader",
    "GapRepair",
    "LetterDecoder",
    "LetterRedrives",
    "Readings",
    "SnapshotForecast",
    "SnapshotForecaster",
    "Snapshots",
    "begun_record",
    "has_records_of",
    "reason_of",
    "snapshot_mistake",
    "where_of",
]
