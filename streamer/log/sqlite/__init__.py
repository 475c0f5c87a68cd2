"""Embedded log: one SQLite file for one process."""

from streamer.log.sqlite.history import SqliteHistory
from streamer.log.sqlite.log import SqliteLog

__all__ = ["SqliteHistory", "SqliteLog"]
