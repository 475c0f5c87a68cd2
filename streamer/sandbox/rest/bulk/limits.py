"""Limits of the Bulk API 2.0: times, and counts of jobs and rows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkLimits:
    """The limits; times are in seconds.

    A query job waits for `queued_s`, and then runs for at least `running_s`. The job
    sees the org as it is at the beginning of the run. The job is kept for `kept_s`
    (limits of the Bulk API 2.0). One answer has up to `page_rows` rows; Salesforce
    states only a size limit of 1 GB. A multipart request, which creates an ingest job
    together with its rows, can have up to `multipart_characters` characters of rows.
    """

    queued_s: float = 0.0
    running_s: float = 0.0
    kept_s: float = 7 * 24 * 3600.0
    page_rows: int = 50_000
    multipart_characters: int = 100_000
