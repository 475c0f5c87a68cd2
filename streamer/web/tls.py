"""TLS of a listener: its certificate, and the certificates of its clients."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from streamer import regular_files
from streamer.errors import ConfigurationError
from streamer.later import LaterLogger

_log = LaterLogger()

HANDSHAKE_S = 5.0
"""Longest time that a TLS handshake takes."""

_LOOK_S = 5.0

Seen = tuple[tuple[int, int, int], ...] | int | None
"""State of files on disk, which differs when one of them has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files of a listener; `section` is where the configuration names them.

    With `client_ca_file`, a client must present a certificate of one of its
    authorities.
    """

    section: str
    certificate_file: Path
    key_file: Path
    client_ca_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return a new context; raises `ConfigurationError`, which names the key and the file."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.load_certificate(context)
        if self.client_ca_file is not None:
            pem = self._text("client_ca_file", self.client_ca_file)
            try:
                context.load_verify_locations(cadata=pem)
            except (ssl.SSLError, ValueError) as exc:
                raise self._refused("client_ca_file", self.client_ca_file, "no certificates in PEM") from exc
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    @property
    def pair(self) -> tuple[Path, Path]:
        """The files of the certificate and of its key."""
        return self.certificate_file, self.key_file

    def load_certificate(self, context: ssl.SSLContext) -> None:
        """Give `context` the certificate and its key as they are now; raises `ConfigurationError`."""
        for key, file in (("certificate_file", self.certificate_file), ("key_file", self.key_file)):
            self._text(key, file)
        try:
            # Without a password, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(self.certificate_file, self.key_file, password="")
        except (OSError, ValueError) as exc:
            reason = "not a certificate in PEM with its unencrypted key"
            raise self._refused("certificate_file", self.certificate_file, reason) from exc

    def _text(self, key: str, file: Path) -> str:
        try:
            return regular_files.content(file).decode("ascii")
        except OSError as exc:
            raise self._refused(key, file, exc.strerror or type(exc).__name__) from exc
        except ValueError as exc:
            raise self._refused(key, file, "not PEM") from exc

    def _refused(self, key: str, file: Path, reason: str) -> ConfigurationError:
        return ConfigurationError(f"{self.section}.{key}: {file} can't be used: {reason}")


@asynccontextmanager
async def server_context(files: TlsFiles | None) -> AsyncIterator[ssl.SSLContext | None]:
    """Yield a context with the certificate of `files`; it is loaded again when they change.

    While the files can't be used, the former certificate stays. Raises
    `ConfigurationError` when they can't be used at first.
    """
    if files is None:
        yield None
        return
    before = seen(files.pair)
    context = files.context()
    renewing = asyncio.create_task(_renew(files, context, before), name=f"certificate {files.section}")
    try:
        yield context
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])


async def _renew(files: TlsFiles, context: ssl.SSLContext, before: Seen) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        found = seen(files.pair)
        if found == before:
            continue
        before = found
        try:
            # A pair that does not fit would leave half of it in the context in use.
            files.context()
            files.load_certificate(context)
        except ConfigurationError as error:
            _log.error("certificate.refused", reason=str(error), in_effect="the former one")
        else:
            _log.info("certificate.renewed", section=files.section)


def seen(files: Iterable[Path]) -> Seen:
    """Return a value that changes with the content of `files`; it is read from the directory alone."""
    try:
        found = [file.stat() for file in files]
    except OSError as error:
        return error.errno
    return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in found)
