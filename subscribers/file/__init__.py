"""File plugin, which appends each event to a file of JSON Lines."""

from subscribers.file.plugin import File

__all__ = ["File"]
