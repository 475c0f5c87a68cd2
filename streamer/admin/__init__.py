"""What operators ask of a running daemon, over HTTP: pausing, dead letters, the audit."""

from streamer.admin.context import AdminContext
from streamer.admin.server import serving_admin

__all__ = ["AdminContext", "serving_admin"]
