"""Certificates that expire, or are for another use."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from streamer.clock import SystemClock
from streamer.doctor.check import CheckStatus
from streamer.doctor.configuration import certificate_verdict, file_checks
from tests.keys import certificate_pem, private_key_pem

NOW = datetime(2026, 7, 1, tzinfo=UTC)
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
OF_CLIENT = "subscribers.erp.settings.client_certificate.certificate_file"
OF_BROKER = "log.kafka.security.certificate_file"
OF_ENDPOINT = "outbound.tls.certificate_file"


def pem(*uses: ObjectIdentifier, begins: timedelta = timedelta(-1), ends: timedelta = timedelta(90)) -> bytes:
    """Return a certificate for `uses`, which is valid from and until then."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "streamer")])
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW + begins)
        .not_valid_after(NOW + ends)
    )
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("key", "uses", "status"),
    [
        (OF_CLIENT, [CLIENT], CheckStatus.OK),
        (OF_CLIENT, [], CheckStatus.OK),
        (OF_CLIENT, [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], CheckStatus.OK),
        (OF_CLIENT, [SERVER], CheckStatus.FAILED),
        (OF_CLIENT, [CLIENT, SERVER], CheckStatus.WARNING),
        (OF_BROKER, [SERVER], CheckStatus.FAILED),
        (OF_ENDPOINT, [SERVER], CheckStatus.OK),
        (OF_ENDPOINT, [CLIENT], CheckStatus.FAILED),
    ],
)
def test_certificate_is_for_its_use(key: str, uses: Sequence[ObjectIdentifier], status: CheckStatus) -> None:
    """A client's for clients alone, and the endpoint's for servers."""
    verdict = certificate_verdict(pem(*uses), key, now=NOW.timestamp())

    assert verdict is not None
    assert verdict.status is status
    assert bool(verdict.remedy) is (status is not CheckStatus.OK)


@pytest.mark.parametrize(
    ("begins", "ends", "status", "found"),
    [
        (-1, 90, CheckStatus.OK, "valid until 2026-09-29"),
        (-1, 13, CheckStatus.WARNING, "expires on 2026-07-14"),
        (-30, -1, CheckStatus.FAILED, "has expired on 2026-06-30"),
        (1, 90, CheckStatus.FAILED, "not valid before"),
    ],
)
@pytest.mark.parametrize("key", [OF_CLIENT, OF_ENDPOINT, "org.auth.key"])
def test_certificate_is_valid_for_a_while(
    begins: int, ends: int, status: CheckStatus, found: str, key: str
) -> None:
    """Public ones live 200 days at most, and 100 from 2027 on."""
    content = pem(begins=timedelta(begins), ends=timedelta(ends))
    verdict = certificate_verdict(content, key, now=NOW.timestamp())

    assert verdict is not None
    assert (verdict.status, found in verdict.found) == (status, True)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nx\n"])
def test_what_is_no_certificate_is_told(content: bytes) -> None:
    """Without one, there is nothing to say."""
    verdict = certificate_verdict(content, OF_CLIENT, now=NOW.timestamp())

    assert (verdict is None) is (b"BEGIN" not in content)
    assert verdict is None or verdict.status is CheckStatus.FAILED


async def test_certificate_behind_the_key_of_a_jwt_is_read(tmp_path: Path) -> None:
    """And the key signs all the same."""
    path = certificate_pem(tmp_path)
    path.chmod(0o600)
    [check] = file_checks({path: "org.auth.key"}, {}, SystemClock())
    verdict = await check.run()

    assert "the certificate expires on" in str(verdict)
    signed = jwt.encode({"sub": "ann"}, path.read_text(), algorithm="RS256")
    assert jwt.encode({"sub": "ann"}, private_key_pem(), algorithm="RS256") == signed
