"""File that keeps the latest refresh token for all processes that log in with it."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from streamer import regular_files
from streamer.clock import Clock
from streamer.errors import ConfigurationError, SalesforceUnavailable
from streamer.protection import SEALED, WrongKey, keyed_digest, sealed, unsealed

_KEY = "org.auth.token_file"
# A login takes half a minute at most.
_WAIT_S = 90.0
_LOOK_S = 0.05
# Each configured token has one line. The oldest lines are dropped.
_MOST_LINES = 20
_ID_CHARACTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshTokenFile:
    """Keeps the latest successor of the `configured` refresh token.

    Each line of the file has the successor of one configured token: the line starts
    with a digest of the configured token, and the successor is encrypted with the
    configured token. So a newly configured token has no successor yet. A lock on
    `path` + `.lock` allows one login at a time in all processes that share the
    storage.
    """

    path: Path
    configured: str = field(repr=False)
    clock: Clock

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Lock the file for one login.

        Raises `ConfigurationError` if the lock file can't be opened, and
        `SalesforceUnavailable` if another process holds the lock for 90 s.
        """
        with self._refusing():
            descriptor = await asyncio.to_thread(self._opened_lock)
        try:
            await self._acquire(descriptor)
            yield
        finally:
            os.close(descriptor)

    async def current(self) -> str:
        """Return the latest token. Raises `ConfigurationError` if the file can't be read or written."""
        with self._refusing():
            lines = await asyncio.to_thread(self._lines)
            # A login uses the token up, so the file must be writable first.
            await asyncio.to_thread(self._write, lines)
        found = lines.get(self._id)
        if found is None:
            return self.configured
        try:
            return unsealed(found, self.configured).decode()
        except (WrongKey, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{self.path} is damaged: issue a new refresh token, and set org.auth.refresh_token"
            ) from error

    async def keep(self, token: str) -> None:
        """Write `token`; it is durable when this returns."""
        with self._refusing():
            lines = await asyncio.to_thread(self._lines)
            lines.pop(self._id, None)
            lines[self._id] = sealed(token.encode(), self.configured, self._id)
            await asyncio.to_thread(self._write, dict(list(lines.items())[-_MOST_LINES:]))

    @property
    def _id(self) -> str:
        return keyed_digest(b"refresh token", self.configured)[:_ID_CHARACTERS]

    async def _acquire(self, descriptor: int) -> None:
        until = self.clock.monotonic() + _WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if self.clock.monotonic() > until:
                    raise SalesforceUnavailable(
                        f"another process has held the lock of {self.path} for {_WAIT_S:.0f} s, so no "
                        "login is possible: look for a Streamer process that hangs"
                    ) from error
                await self.clock.sleep(_LOOK_S)
            else:
                return

    def _opened_lock(self) -> int:
        if not self.path.parent.is_dir():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = self.path.with_name(self.path.name + ".lock")
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def _lines(self) -> dict[str, bytes]:
        """Return the lines of the file, keyed by the digest of the configured token."""
        try:
            lines = regular_files.content(self.path).split(b"\n")
        except FileNotFoundError:
            return {}
        parts = [(line.split(b":"), line) for line in lines if line.startswith(SEALED)]
        return {each[1].decode("ascii", "replace"): line for each, line in parts if each[1]}

    def _write(self, lines: dict[str, bytes]) -> None:
        partial = self.path.with_name(self.path.name + ".partial")
        # O_NONBLOCK: if the file is a pipe, opening it must not wait for a reader.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(partial, flags, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"".join(line + b"\n" for line in lines.values()))
            file.flush()
            os.fsync(descriptor)
        partial.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                f"{self.path} can't be used ({error.strerror}): set {_KEY} to a file that this user can "
                "write, on storage that all processes share"
            ) from error
