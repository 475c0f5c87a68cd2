"""Checks of SQLite: the log's file is writable, has room to grow, and has no other owner."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from streamer.clock import Clock
from streamer.doctor.check import Area, Check, CheckResult, Inapplicable, counted, failed, ok, warning
from streamer.errors import LogMisconfigured
from streamer.log.sqlite.database.lock import check_local, holder
from streamer.log.sqlite.retention import foreign_rows
from streamer.settings import SqliteLogSettings

_MEBIBYTE = 1024 * 1024
# Room for a commit, the write-ahead log and its index file.
_LEAST_BYTES = 256 * _MEBIBYTE
_SHOWN = 3


def sqlite_checks(settings: SqliteLogSettings, clock: Clock) -> Iterator[Check]:
    """Yield the checks of the SQLite log, which create no file."""
    path = settings.path

    async def folder() -> CheckResult:
        return folder_verdict(path)

    async def space() -> CheckResult:
        return space_verdict(path, settings.max_bytes)

    async def owner() -> CheckResult:
        return owner_verdict(path)

    async def rows() -> CheckResult:
        if not os.path.isfile(path):  # noqa: PTH113, ASYNC240 - a look at a local file
            raise Inapplicable("the file does not exist yet")
        return await rows_verdict(path, clock)

    for name, run in (("folder", folder), ("free space", space), ("owner", owner), ("rows", rows)):
        yield Check(area=Area.LOG, name=f"SQLite {name}", run=run)


def folder_verdict(path: Path) -> CheckResult:
    """Return whether the file at `path` can be written, or created together with its folder."""
    check_local(path)
    remedy = "give the daemon's user the right to write, or set log.sqlite.path to another path"
    folder = _nearest(path.absolute().parent)
    if not folder.is_dir():
        return failed(
            f"{folder} is not a folder, so {path} can't be created", "set log.sqlite.path to another path"
        )
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe or a device"
        return failed(f"{path} is {kind}, but the log needs a file", "set log.sqlite.path to another path")
    if not os.access(folder, os.W_OK | os.X_OK):
        return failed(f"the current user can't write to the folder {folder}", remedy)
    if not _takes_files(folder):
        return failed(
            f"{folder} is on a file system that accepts no new files, so {path} can't be created",
            "set log.sqlite.path to another path",
        )
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return failed(f"the current user can't write to the file {path}", remedy)
    made = "exists and can be written" if path.exists() else f"can be created in {folder}"
    return ok(f"{path} {made}")


def space_verdict(path: Path, most: int) -> CheckResult:
    """Return whether the disk has room for a file of `most` bytes at `path`."""
    folder = _nearest(path.absolute().parent)
    if not folder.is_dir():
        raise Inapplicable("the folder does not exist")
    if not _takes_files(folder):
        raise Inapplicable(f"no file can be created in {folder}")
    free = shutil.disk_usage(folder).free
    has = path.stat().st_size if path.is_file() else 0
    said = f"{_size(free)} are free"
    if free < _LEAST_BYTES:
        return failed(
            f"{said} on the disk of {folder}, so the log can't be written", "free some space on the disk"
        )
    if has + free < most:
        return warning(
            f"{said} on the disk of {folder}, but the log can grow from {_size(has)} to {_size(most)}",
            "free some space, or lower log.sqlite.max_bytes, so that ingest waits before the disk is full",
        )
    return ok(f"{said}; the log can grow to {_size(most)}")


def _takes_files(folder: Path) -> bool:
    """Return false if the user may not create files in `folder`, or if `folder` is virtual, as `/proc` is."""
    return os.access(folder, os.W_OK | os.X_OK) and shutil.disk_usage(folder).total > 0


def owner_verdict(path: Path) -> CheckResult:
    """Return a result that names the process that holds the log, if any."""
    try:
        process = holder(path)
    except OSError as error:
        return failed(
            f"the lock of {path} can't be read: {error.strerror}",
            "give the current user the right to read this lock",
        )
    if process is None:
        return ok("no process holds the log")
    return warning(
        f"process {process} holds the log, so a second daemon refuses to start",
        (
            "if this process is your daemon, do nothing; otherwise stop the process, or set log.sqlite.path "
            "to another path"
        ),
    )


async def rows_verdict(path: Path, clock: Clock) -> CheckResult:
    """Return a warning if the file at `path` holds rows that Streamer did not write."""
    try:
        foreign = await foreign_rows(path, clock)
    except LogMisconfigured as error:
        # The check that reads the checkpoints fails for the same reason, and reports the reason.
        raise Inapplicable(f"the rows can't be read: {error}") from error
    if not foreign:
        return ok("the tables hold only Streamer's rows")
    count, shown = len(foreign), "; ".join(foreign[:_SHOWN])
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    return warning(
        f"{path} holds {counted(count, 'row')} that Streamer did not write and ignores: {shown}{more}",
        "let only Streamer write to the file; to remove such a row, stop the daemon and delete the row",
    )


def _nearest(folder: Path) -> Path:
    """Return `folder`, or the nearest existing folder above it."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _size(count: float) -> str:
    units = ("KiB", "MiB", "GiB")
    for unit in units:
        count /= 1024
        if count < 1024 or unit == units[-1]:  # noqa: PLR2004 - the step between two units
            break
    return f"{count:,.1f} {unit}"
