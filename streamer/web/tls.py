"""TLS of a listener: its own certificate, and the check of clients' certificates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamer import regular_files
from streamer.errors import ConfigurationError
from streamer.later import Later, LaterLogger

if TYPE_CHECKING:
    import asyncio
    import ssl
else:
    asyncio = Later("asyncio")
    ssl = Later("ssl")

_log = LaterLogger()

HANDSHAKE_S = 5.0
"""Time-out of a TLS handshake."""

_LOOK_S = 5.0

Seen = tuple[tuple[int, int, int], ...] | int | None
"""Value that identifies the state of files on disk; changed files have another value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files of a listener; `section` of the configuration names them.

    With `client_ca_file`, a client must present a certificate from an authority in this
    file.
    """

    section: str
    certificate_file: Path
    key_file: Path
    client_ca_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return a new context. Raises `ConfigurationError`, which names the key and the file."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.load_certificate(context)
        if self.client_ca_file is not None:
            pem = self._text("client_ca_file", self.client_ca_file)
            try:
                context.load_verify_locations(cadata=pem)
            except (ssl.SSLError, ValueError) as exc:
                raise self._refused(
                    "client_ca_file", self.client_ca_file, "the file contains no certificates in PEM"
                ) from exc
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    @property
    def pair(self) -> tuple[Path, Path]:
        """Files of the certificate and of its key."""
        return self.certificate_file, self.key_file

    def load_certificate(self, context: ssl.SSLContext) -> None:
        """Load the current certificate and key into `context`; raises `ConfigurationError`."""
        for key, file in (("certificate_file", self.certificate_file), ("key_file", self.key_file)):
            self._text(key, file)
        try:
            # Without a password, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(self.certificate_file, self.key_file, password="")
        except (OSError, ValueError) as exc:
            reason = "the files are not a certificate in PEM and the matching unencrypted key"
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
    """Yield a context with the certificate in `files`, and reload the certificate when the files change.

    While changed files are unusable, the previous certificate stays in use. Entering
    the context raises `ConfigurationError` if the files are unusable.
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
            # A mismatched pair would leave only a certificate or a key in the current context.
            files.context()
            files.load_certificate(context)
        except ConfigurationError as error:
            _log.error("certificate.refused", reason=str(error), in_effect="the previous certificate")
        else:
            _log.info("certificate.renewed", section=files.section)


def seen(files: Iterable[Path]) -> Seen:
    """Return a value that changes when `files` change, without reading the files."""
    try:
        found = [file.stat() for file in files]
    except OSError as error:
        return error.errno
    return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in found)
