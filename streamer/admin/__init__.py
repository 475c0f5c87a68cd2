"""Admin API, by which operators pause subscribers, redrive dead letters and read the audit."""

from streamer.admin.context import AdminContext
from streamer.admin.server import serving_admin

__all__ = ["AdminContext", "serving_admin"]
