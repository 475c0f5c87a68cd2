"""TLS of a target: verified always, with the certificates that the settings name."""

import ssl
from pathlib import Path

import structlog

from streamer.clock import Clock
from streamer.errors import ConfigurationError
from streamer.web.tls import seen
from subscribers.http.settings import ClientCertificate

_log = structlog.get_logger()

_LOOK_S = 5.0


class TargetTls:
    """Context of new connections, made anew within five seconds when a certificate's file changes.

    It trusts the authorities of `ca_file` or, without it, the system's. While
    the changed files can't be used, the former context stays. Connections that
    are open keep the certificate that they began with.
    """

    def __init__(
        self, ca_file: Path | None, client_certificate: ClientCertificate | None, clock: Clock
    ) -> None:
        self._ca_file = ca_file
        self._client_certificate = client_certificate
        self._clock = clock
        self._files = _files(ca_file, client_certificate)
        self._seen = seen(self._files)
        self._look_at = clock.monotonic() + _LOOK_S
        self._context = _context(ca_file, client_certificate)

    @property
    def context(self) -> ssl.SSLContext:
        """The context for a connection that begins now."""
        if self._files and self._clock.monotonic() >= self._look_at:
            self._look_at = self._clock.monotonic() + _LOOK_S
            if (found := seen(self._files)) != self._seen:
                self._seen = found
                self._renew()
        return self._context

    def _renew(self) -> None:
        try:
            self._context = _context(self._ca_file, self._client_certificate)
        except ConfigurationError as error:
            _log.error("certificate.refused", reason=str(error), in_effect="the former one")
        else:
            _log.info("certificate.renewed", files=[str(file) for file in self._files])


def _files(ca_file: Path | None, certificate: ClientCertificate | None) -> tuple[Path, ...]:
    named = (ca_file, *((certificate.certificate_file, certificate.key_file) if certificate else ()))
    return tuple(file for file in named if file is not None)


def _context(ca_file: Path | None, certificate: ClientCertificate | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as exc:
        raise ConfigurationError(f"ca_file {ca_file} can't be read as PEM: {exc.strerror}") from exc
    if certificate is not None:
        _present(certificate, context)
    return context


def _present(certificate: ClientCertificate, context: ssl.SSLContext) -> None:
    secret = certificate.key_password
    # Without a password, OpenSSL would ask for one on the terminal.
    password = secret.get_secret_value() if secret else ""
    try:
        context.load_cert_chain(certificate.certificate_file, certificate.key_file, password)
    except (OSError, ValueError) as exc:
        raise ConfigurationError(
            f"client_certificate {certificate.certificate_file} can't be used with its key: "
            f"check both files and key_password ({type(exc).__name__})"
        ) from exc
