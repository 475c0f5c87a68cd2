"""What operators ask of a running daemon, over HTTP: pausing, dead letters, the audit."""

from streamer.admin.context import Desk
from streamer.admin.server import administering

__all__ = ["Desk", "administering"]
