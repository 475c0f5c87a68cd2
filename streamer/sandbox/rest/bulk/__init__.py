"""Bulk API 2.0: query jobs with results in CSV, and ingest jobs that write rows of CSV."""

from streamer.sandbox.rest.bulk.limits import BulkLimits

__all__ = ["BulkLimits"]
