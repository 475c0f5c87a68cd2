"""Limits of the Bulk API 2.0: times, and counts of jobs and rows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkLimits:
    """The limits; times in seconds.

    A query job waits `queued_s` until it runs, and runs for `running_s` at
    least. It sees the org as it is when it begins to run. It is kept for
    `kept_s` (limits of the Bulk API 2.0). One answer has up to `page_rows` rows;
    Salesforce names no number, only a size of 1 GB. The rows in the request that
    creates an ingest job have up to `multipart_characters`.
    """

    queued_s: float = 0.0
    running_s: float = 0.0
    kept_s: float = 7 * 24 * 3600.0
    page_rows: int = 50_000
    multipart_characters: int = 100_000
