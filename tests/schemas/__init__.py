"""Records of a log, held to the JSON Schemas that Streamer publishes of them."""

from tests.schemas.checks import RECORDS, Checked, all_of, event_mistakes, mistakes
from tests.schemas.files import checked_file, checked_log, checked_records
from tests.schemas.topics import CheckedTopics

__all__ = [
    "RECORDS",
    "Checked",
    "CheckedTopics",
    "all_of",
    "checked_file",
    "checked_log",
    "checked_records",
    "event_mistakes",
    "mistakes",
]
