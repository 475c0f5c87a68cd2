"""TLS of a target with the certificates of the settings; certificates are always verified."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from streamer import regular_files
from streamer.clock import Clock
from streamer.errors import ConfigurationError
from streamer.later import Later, LaterLogger
from streamer.web.tls import seen
from subscribers.http.settings import ClientCertificate

if TYPE_CHECKING:
    import asyncio
    import ssl
else:
    asyncio = Later("asyncio")
    ssl = Later("ssl")

_log = LaterLogger()

_LOOK_S = 5.0
_OF_SYSTEM = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class TargetTls:
    """TLS context of new connections, which is replaced within 5 s after a certificate file has changed.

    The context trusts the authorities in `ca_file`, or without `ca_file`, the system's
    authorities. All targets without any certificate file share a context. Files are
    loaded on a thread, because loading takes tens of milliseconds. Targets without TLS
    load no files. If changed files can't be used, the previous context stays in use.
    Open connections keep their certificate.
    """

    def __init__(
        self, ca_file: Path | None, client_certificate: ClientCertificate | None, clock: Clock
    ) -> None:
        self._ca_file = ca_file
        self._client_certificate = client_certificate
        self._clock = clock
        self._files = tuple(_files(ca_file, client_certificate).values())
        self._seen = seen(self._files)
        self._look_at = clock.monotonic() + _LOOK_S
        self._context: ssl.SSLContext | None = None

    async def check(self) -> None:
        """Load the certificate files of the settings; raises `ConfigurationError` for unusable files."""
        if self._files:
            self._context = await self._loaded()

    async def context(self) -> ssl.SSLContext:
        """Return the context for a new connection; the first call can raise the same errors as `check`."""
        if self._context is None:
            self._context = await self._loaded()
        elif self._files and self._clock.monotonic() >= self._look_at:
            self._look_at = self._clock.monotonic() + _LOOK_S
            if (found := seen(self._files)) != self._seen:
                self._seen = found
                await self._renew()
        return self._context

    async def _loaded(self) -> ssl.SSLContext:
        return await asyncio.to_thread(_context, self._ca_file, self._client_certificate)

    async def _renew(self) -> None:
        try:
            self._context = await self._loaded()
        except ConfigurationError as error:
            _log.error("certificate.refused", reason=str(error), in_effect="the previous certificate")
        else:
            _log.info("certificate.renewed", files=[str(file) for file in self._files])


def _files(ca_file: Path | None, certificate: ClientCertificate | None) -> Mapping[str, Path]:
    """Return the certificate files of the settings, by key."""
    named = {"ca_file": ca_file}
    if certificate is not None:
        named["client_certificate.certificate_file"] = certificate.certificate_file
        named["client_certificate.key_file"] = certificate.key_file
    return {key: file for key, file in named.items() if file is not None}


def _check(ca_file: Path | None, certificate: ClientCertificate | None) -> None:
    """Raise `ConfigurationError` for a file that OpenSSL could not finish reading, such as a pipe."""
    for key, file in _files(ca_file, certificate).items():
        try:
            regular_files.check(file)
        except FileNotFoundError:
            # OpenSSL reports a missing file itself.
            continue
        except OSError as exc:
            raise ConfigurationError(f"{key} {file} can't be used: {exc.strerror}") from exc


def _context(ca_file: Path | None, certificate: ClientCertificate | None) -> ssl.SSLContext:
    if ca_file is None and certificate is None:
        return _of_system(tuple(os.environ.get(name) for name in _OF_SYSTEM))
    _check(ca_file, certificate)
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as exc:
        raise ConfigurationError(f"ca_file {ca_file} can't be read as PEM: {exc.strerror}") from exc
    if certificate is not None:
        _present(certificate, context)
    return context


@lru_cache(maxsize=4)
def _of_system(_places: tuple[str | None, ...]) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities; a caller must not change this context."""
    return ssl.create_default_context()


def _present(certificate: ClientCertificate, context: ssl.SSLContext) -> None:
    secret = certificate.key_password
    # Without a password, OpenSSL would ask for one on the terminal.
    password = secret.get_secret_value() if secret else ""
    try:
        context.load_cert_chain(certificate.certificate_file, certificate.key_file, password)
    except (OSError, ValueError) as exc:
        raise ConfigurationError(
            f"client_certificate: {certificate.certificate_file} and its private key can't be used: "
            f"check both files and key_password ({type(exc).__name__})"
        ) from exc
