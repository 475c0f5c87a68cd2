"""Translates SQLite's errors into Streamer's errors; their class decides whether the caller retries."""

import sqlite3
from pathlib import Path

from streamer.errors import LogMisconfigured, LogUnavailable

_PRIMARY_CODE = 0xFF

_WAIT = {
    sqlite3.SQLITE_FULL: "the disk that holds {path} is full: free some space",
    sqlite3.SQLITE_BUSY: "another program has locked {path}: close the program that has the file open",
    sqlite3.SQLITE_IOERR: "{path} can't be read or written: check the disk ({error})",
}
_STOP = {
    sqlite3.SQLITE_NOTADB: "{path} is not a SQLite file: name another path for the log",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged: restore it from a backup, or move it away to begin a new log",
    sqlite3.SQLITE_CANTOPEN: "{path} can't be opened: check the folder and the rights of this user",
    sqlite3.SQLITE_READONLY: "{path} can't be written: give this user the right to write it and its folder",
    sqlite3.SQLITE_PERM: "{path} can't be opened: give this user the right to read and write it",
}


def translated(exc: sqlite3.Error, path: Path) -> LogUnavailable | LogMisconfigured:
    """Return Streamer's error for `exc`: `LogMisconfigured` if a retry can't help, or `LogUnavailable`."""
    code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE
    if code in _STOP:
        return LogMisconfigured(_STOP[code].format(path=path))
    return LogUnavailable(_WAIT.get(code, "{path}: {error}").format(path=path, error=exc))
