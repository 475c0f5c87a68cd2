"""Certificates in files: how long they are valid, and for which use."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from streamer.doctor.check import CheckResult, failed, ok, warning

_SOON = timedelta(days=14)
_RENEW = "renew it, and replace the file: Streamer reads it again"
_CLIENT, _SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
_ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
_BEGIN = b"-----BEGIN CERTIFICATE-----"


def certificate_verdict(pem: bytes, key: str, *, now: float) -> CheckResult | None:
    """Return the verdict on the first certificate in `pem`, which the setting `key` names.

    `None` without a certificate. `now` is in epoch seconds.
    """
    if _BEGIN not in pem:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(pem[pem.index(_BEGIN) :])
        uses = _uses(certificate)
    except (ValueError, x509.DuplicateExtension):
        return failed(f"{key} names it, and its certificate can't be read", "write it again, in PEM")
    return _unfit(key, uses) or _validity(certificate, key, datetime.fromtimestamp(now, UTC))


def _uses(certificate: x509.Certificate) -> frozenset[ObjectIdentifier] | None:
    """Return the extended key usages, `None` for a certificate that names none and is good for all."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    return None if _ANY in found else frozenset(found)


def _unfit(key: str, uses: frozenset[ObjectIdentifier] | None) -> CheckResult | None:
    if uses is None or not key.endswith("certificate_file"):
        return None
    if key.startswith("outbound."):
        if _SERVER in uses:
            return None
        return failed(
            f"{key} is the certificate of a server, and its extended key usage does not name serverAuth",
            "issue one for serverAuth",
        )
    if _CLIENT not in uses:
        return failed(
            f"{key} is the certificate of a client, and its extended key usage does not name clientAuth, as "
            "public authorities leave it out since 2026",
            "issue one for clientAuth, by an authority that the other side trusts",
        )
    if _SERVER in uses:
        return warning(
            f"{key} is for clients and servers at once, which Salesforce refuses since 2026-06-15, and "
            "public authorities no longer issue",
            "issue one for clientAuth alone",
        )
    return None


def _validity(certificate: x509.Certificate, key: str, now: datetime) -> CheckResult:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= ends:
        return failed(f"{key}: the certificate has expired on {ends:%Y-%m-%d}", _RENEW)
    if now < begins:
        return failed(
            f"{key}: the certificate is valid from {begins:%Y-%m-%d %H:%M} UTC on, and not yet",
            "wait, or correct this machine's time",
        )
    if ends - now < _SOON:
        return warning(f"{key}: the certificate expires on {ends:%Y-%m-%d}", _RENEW)
    return ok(f"{key}, valid until {ends:%Y-%m-%d}")
