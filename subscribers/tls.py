"""TLS of connections to targets: verified, with a company's own authorities and client certificates."""

import ssl
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from streamer.errors import ConfigurationError


class ClientCertificate(BaseModel):
    """Client certificate for mutual TLS; without `key_file`, the certificate's file holds the key."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    certificate_file: Path = Field(description="client certificate, PEM")
    key_file: Path | None = Field(
        default=None, description="its private key, PEM; default: in certificate_file"
    )
    key_password: SecretStr | None = Field(default=None, description="password of the private key")


def client_context(ca_file: Path | None, certificate: ClientCertificate | None) -> ssl.SSLContext:
    """Return a context that verifies servers by `ca_file`, or by the system's authorities without it.

    Raises `ConfigurationError` when a file can't be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as exc:
        raise ConfigurationError(f"ca_file {ca_file} can't be read as PEM: {exc.strerror}") from exc
    if certificate:
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
