"""Targets are reached over TLS that is verified in both directions."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import NameOID

from streamer.clock import SystemClock, TurnedClock
from streamer.errors import ConfigurationError
from streamer.events import Delivered, Outcome, Retry
from subscribers.erp import Erp
from tests.deliveries import context, delivery

PASSWORD = b"key-password"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one certificate for localhost that is its own authority, and its encrypted key."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(certificate())
    return path


def certificate(name: str = "localhost") -> bytes:
    """Return a new certificate for localhost, whose subject is `name`, with its encrypted key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD))
    return private + made.public_bytes(Encoding.PEM)


@asynccontextmanager
async def https_server(pem: Path, *clients: bytes) -> AsyncIterator[int]:
    """Answer every request with whether the client showed a certificate, and its number; yield the port."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pem)
    tls.load_cert_chain(pem, password=PASSWORD)
    for client in clients:
        tls.load_verify_locations(cadata=client.decode())
    tls.verify_mode = ssl.CERT_OPTIONAL

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        shown = writer.get_extra_info("peercert")
        number = {"number": shown["serialNumber"]} if shown else {}
        body = orjson.dumps({"client_known": bool(shown), **number})
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

    assert outcome == Delivered(answer={"client_known": True, "number": number_of(pem)})


async def test_missing_key_password_is_a_configuration_error(pem: Path) -> None:
    """The error names the settings, before anything is delivered."""
    with pytest.raises(ConfigurationError, match="check both files and key_password"):
        await deliver(pem, client_certificate={"certificate_file": pem})


def number_of(pem: Path | bytes) -> str:
    """Return the serial number of a certificate as TLS shows it."""
    content = pem.read_bytes() if isinstance(pem, Path) else pem
    number = f"{x509.load_pem_x509_certificate(content).serial_number:X}"
    return number.zfill(len(number) + len(number) % 2)


async def test_renewed_client_certificate_is_shown_without_a_restart(pem: Path, tmp_path: Path) -> None:
    """Within five seconds; while the file can't be used, the former one is shown."""
    own, clock = tmp_path / "client.pem", TurnedClock()
    contents = certificate("first"), b"half a file", certificate("renewed")
    own.write_bytes(contents[0])
    numbers = []
    async with https_server(pem, contents[0], contents[2]) as port:
        settings = {
            "url": f"https://localhost:{port}/api",
            "ca_file": pem,
            "client_certificate": {"certificate_file": own, "key_password": PASSWORD.decode()},
        }
        async with Erp(Erp.Settings.model_validate(settings), context(clock)) as plugin:
            for content in contents:
                own.write_bytes(content)
                await clock.turn(5.0)
                outcome = await plugin.deliver(delivery())
                assert isinstance(outcome, Delivered)
                numbers.append(outcome.answer["number"])

    first, renewed = number_of(contents[0]), number_of(contents[2])
    assert numbers == [first, first, renewed]
    assert first != renewed
