"""Translates SQLite's errors into Streamer's errors; their class decides whether the caller retries."""

import sqlite3
from pathlib import Path

from streamer.errors import LogMisconfigured, LogUnavailable

_PRIMARY_CODE = 0xFF

_WAIT = {
    sqlite3.SQLITE_FULL: "the disk with {path} is full: free some space",
    sqlite3.SQLITE_BUSY: "another program has locked {path}: close the program that has the file open",
    sqlite3.SQLITE_IOERR: "{path} can't be read or written: check the disk ({error})",
}
_STOP = {
    sqlite3.SQLITE_NOTADB: "{path} is not a SQLite file: name another path for the log",
    sqlite3.SQLITE_CORRUPT: (
        "{path} is damaged: restore the file from a backup, or move the file away to begin a new log"
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "{path} can't be opened: check that the folder exists and that this user can write there"
    ),
    sqlite3.SQLITE_READONLY: "{path} can't be written: let this user write the file and the file's folder",
    sqlite3.SQLITE_PERM: "{path} can't be opened: let this user read and write the file",
}


def translated(exc: sqlite3.Error, path: Path) -> LogUnavailable | LogMisconfigured:
    """Return Streamer's error for `exc`: `LogMisconfigured` if a retry can't help, or `LogUnavailable`."""
    code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE
    if code in _STOP:
        return LogMisconfigured(_STOP[code].format(path=path))
    return LogUnavailable(_WAIT.get(code, "{path}: {error}").format(path=path, error=exc))
