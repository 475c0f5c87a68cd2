"""Folder for the local copies of state topics; each process uses its own part."""

import fcntl
import os
from pathlib import Path

from streamer.errors import LogMisconfigured

_MOST_PROCESSES = 100
_REMEDY = "check that this user can write there, or name another folder in log.kafka.state_directory"


class StateFolder:
    """Numbered part of the folder `root`, reserved for one process.

    Processes with the same folder get parts with different numbers. A process that
    runs alone gets the same part again after a restart, however the process ended.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock: int | None = None
        self._part: Path | None = None

    def open(self) -> Path:
        """Reserve a part unless this was done before, and return its path; raises `LogMisconfigured`."""
        if self._part is None:
            try:
                self._part = self._reserved()
            except OSError as exc:
                raise LogMisconfigured(
                    f"the folder {self._root} for local copies of the state topics can't be used "
                    f"({exc.strerror}): {_REMEDY}"
                ) from exc
        return self._part

    def close(self) -> None:
        """Release the part."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = self._part = None

    def _reserved(self) -> Path:
        _make(self._root)
        for number in range(_MOST_PROCESSES):
            lock = os.open(
                self._root / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
            try:
                # The lock ends with the process. The lock file stays, because two processes could
                # otherwise lock two files of the same name.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            self._lock = lock
            part = self._root / str(number)
            _make(part)
            return part
        raise LogMisconfigured(
            f"{_MOST_PROCESSES} processes use the folder {self._root}: name another folder for this "
            "process in log.kafka.state_directory"
        )


def _make(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
