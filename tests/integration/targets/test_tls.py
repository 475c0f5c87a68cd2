"""Targets are reached over TLS that is verified in both directions."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import NameOID

from streamer.clock import SystemClock
from streamer.errors import ConfigurationError
from streamer.events import Delivered, Outcome, Retry
from subscribers.erp import Erp
from tests.deliveries import context, delivery

PASSWORD = b"key-password"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one certificate for localhost that is its own authority, and its encrypted key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD))
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path


@asynccontextmanager
async def https_server(pem: Path) -> AsyncIterator[int]:
    """Answer every request with whether the client showed a certificate; yield the port."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pem)
    tls.load_cert_chain(pem, password=PASSWORD)
    tls.verify_mode = ssl.CERT_OPTIONAL

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        known = b"true" if writer.get_extra_info("peercert") else b"false"
        body = b'{"client_known": ' + known + b"}"
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def deliver(pem: Path, **settings: Any) -> Outcome:
    """Return the outcome of one delivery to the server."""
    async with https_server(pem) as port:
        read = Erp.Settings.model_validate({"url": f"https://localhost:{port}/api", **settings})
        async with Erp(read, context(SystemClock())) as plugin:
            return await plugin.deliver(delivery())


async def test_unknown_authority_is_not_trusted(pem: Path) -> None:
    """A server with an untrusted certificate gets nothing from us."""
    outcome = await deliver(pem)

    assert isinstance(outcome, Retry)
    assert "is not trusted" in outcome.reason
    assert "check ca_file" in outcome.reason


async def test_authority_of_ca_file_is_trusted(pem: Path) -> None:
    """A company's own authority is named in the settings."""
    assert await deliver(pem, ca_file=pem) == Delivered(answer={"client_known": False})


async def test_client_certificate_says_who_we_are(pem: Path) -> None:
    """Mutual TLS works with an encrypted key."""
    certificate = {"certificate_file": pem, "key_password": PASSWORD.decode()}

    outcome = await deliver(pem, ca_file=pem, client_certificate=certificate)

    assert outcome == Delivered(answer={"client_known": True})


async def test_missing_key_password_is_a_configuration_error(pem: Path) -> None:
    """The error names the settings, before anything is delivered."""
    with pytest.raises(ConfigurationError, match="check both files and key_password"):
        await deliver(pem, client_certificate={"certificate_file": pem})
