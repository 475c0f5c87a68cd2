"""Embedded log: one SQLite file that one process owns."""

from streamer.log.sqlite.history import SqliteHistory
from streamer.log.sqlite.log import SqliteLog

__all__ = ["SqliteHistory", "SqliteLog"]
