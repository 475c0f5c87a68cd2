"""Bulk API 2.0: query jobs, whose results are read in pages of CSV."""

from streamer.sandbox.rest.bulk.limits import BulkLimits

__all__ = ["BulkLimits"]
