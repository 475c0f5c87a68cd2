"""Admin API: operators inspect and control a daemon through it."""

from streamer.admin.context import AdminContext
from streamer.admin.server import serving_admin

__all__ = ["AdminContext", "serving_admin"]
