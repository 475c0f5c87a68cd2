"""Pipes, folders, devices and endless files, where a file belongs."""

import os
from pathlib import Path

REASONS = {
    "pipe": "not a regular file, but a pipe or a device",
    "folder": "Is a directory",
    "device": "not a regular file, but a pipe or a device",
    "huge": "larger than",
}
"""Part of the message about each kind."""

_HUGE_BYTES = 2**40


def unfit_file(path: Path, kind: str) -> Path:
    """Make one of that kind at `path`, and return the path."""
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            with path.open("wb") as file:
                file.truncate(_HUGE_BYTES)
    return path
