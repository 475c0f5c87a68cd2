"""Admin API, by which operators see and change what a daemon does."""

from streamer.admin.context import AdminContext
from streamer.admin.server import serving_admin

__all__ = ["AdminContext", "serving_admin"]
