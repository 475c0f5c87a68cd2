"""Bulk API 2.0: query jobs, whose results are pages of CSV, and ingest jobs, which write rows of CSV."""

from streamer.sandbox.rest.bulk.limits import BulkLimits

__all__ = ["BulkLimits"]
