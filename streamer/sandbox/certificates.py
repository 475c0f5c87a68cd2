"""Certificate authority of the sandbox, and the server certificate that it signed."""

import datetime as dt
import os
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = ("localhost", "127.0.0.1", "::1")
JAVA_PASSWORD = "changeit"  # noqa: S105 - Java's own default; the file holds nothing secret
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_VALID = dt.timedelta(days=90)
_RENEWED_BEFORE = dt.timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files of one certificate authority in `folder`.

    Clients trust the certificate in `authority` (PEM). `java_trust_store` has the same
    certificate for Java, with the password `JAVA_PASSWORD`. `server` has the server's
    key and certificate.
    """

    folder: Path

    @property
    def authority(self) -> Path:
        """Certificate of the authority."""
        return self.folder / "ca.pem"

    @property
    def java_trust_store(self) -> Path:
        """Certificate of the authority, in PKCS #12."""
        return self.folder / "ca.p12"

    @property
    def server(self) -> Path:
        """Key and certificate of the server; only the owner of the file can read it."""
        return self.folder / "server.pem"

    def context(self) -> ssl.SSLContext:
        """Return the TLS context of the server."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.server)
        return context

    def private_key(self) -> bytes:
        """Return the key of the server, as PEM."""
        key, _, _ = self.server.read_bytes().partition(_CERTIFICATE)
        return key

    def chain(self) -> bytes:
        """Return the certificates of the server and of the authority, as PEM."""
        _, certificate, chain = self.server.read_bytes().partition(_CERTIFICATE)
        return certificate + chain

    def are_good_for(self, hosts: frozenset[str]) -> bool:
        """Return whether the certificate's files exist, name exactly `hosts`, and stay valid for a week."""
        if not (self.authority.exists() and self.java_trust_store.exists()):
            return False
        try:
            certificate = x509.load_pem_x509_certificate(self.server.read_bytes())
        except (OSError, ValueError):
            return False
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        named = {*names.get_values_for_type(x509.DNSName)}
        named |= {str(address) for address in names.get_values_for_type(x509.IPAddress)}
        lasts = certificate.not_valid_after_utc - dt.datetime.now(dt.UTC) > _RENEWED_BEFORE
        return named == hosts and lasts


def certificates(folder: Path, hosts: Iterable[str]) -> Certificates:
    """Return the certificates in `folder` for loopback and `hosts`; make new ones if they don't fit.

    A new authority signs one certificate, and then its key is forgotten. So a person
    who can read the folder can't sign another certificate. Raises `OSError` if the
    folder can't be written.
    """
    files = Certificates(folder)
    wanted = frozenset({*LOOPBACK, *(host.lower() for host in hosts)})
    if not files.are_good_for(wanted):
        folder.mkdir(parents=True, exist_ok=True)
        # If the folder is inside a Git repository, the key must not be committed.
        (folder / ".gitignore").write_text("*\n")
        _write(files, wanted)
    return files


def _write(files: Certificates, hosts: Iterable[str]) -> None:
    authority_key, server_key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    authority = _authority(authority_key)
    server = _server(server_key, authority, authority_key, sorted(hosts))
    trusted = authority.public_bytes(Encoding.PEM)
    store = serialize_java_truststore(
        [PKCS12Certificate(authority, b"streamer-sandbox")], BestAvailableEncryption(JAVA_PASSWORD.encode())
    )
    private = server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files.authority.write_bytes(trusted)
    files.java_trust_store.write_bytes(store)
    with suppress(FileNotFoundError):
        files.server.unlink()
    descriptor = os.open(files.server, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private + server.public_bytes(Encoding.PEM) + trusted)


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = _name("Streamer sandbox authority")
    builder = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return builder.sign(key, hashes.SHA256())


def _server(
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    hosts: Iterable[str],
) -> x509.Certificate:
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = (
        _builder(_name("Streamer sandbox"), authority.subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName(map(_general_name, hosts)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer, critical=False)
    )
    return builder.sign(authority_key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
