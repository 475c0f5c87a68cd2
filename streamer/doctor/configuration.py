"""Checks of the files, certificates and org fields that a configuration names."""

import difflib
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from streamer.clock import Clock
from streamer.configuration import Document
from streamer.doctor.check import (
    Area,
    Check,
    CheckResult,
    CheckStatus,
    Inapplicable,
    Once,
    counted,
    failed,
    ok,
    warning,
)
from streamer.doctor.org import LOGIN, OrgSession
from streamer.events import JsonObject
from streamer.expressions.checks import fields_read
from streamer.expressions.templates import fields_in_template
from streamer.salesforce.records import RestRecords
from streamer.settings import Settings, SubscriberSettings

_EXPIRES_SOON = timedelta(days=14)
_RENEW = "renew the certificate, and replace the file; Streamer reads the new file without a restart"
_CLIENT_USE, _SERVER_USE = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
_ANY_USE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
_CERTIFICATE_BEGIN = b"-----BEGIN CERTIFICATE-----"


def certificate_verdict(pem: bytes, key: str, *, now: float) -> CheckResult | None:
    """Return the result for the first certificate in `pem`, which the setting `key` names.

    Returns `None` if `pem` has no certificate. `now` is in epoch seconds.
    """
    if _CERTIFICATE_BEGIN not in pem:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(pem[pem.index(_CERTIFICATE_BEGIN) :])
        uses = _uses(certificate)
    except (ValueError, x509.DuplicateExtension):
        return failed(
            f"{key} names this file, but the certificate in the file is unreadable",
            "write the certificate to the file in PEM",
        )
    return _unfit_use(key, uses) or _validity(certificate, key, datetime.fromtimestamp(now, UTC))


def _uses(certificate: x509.Certificate) -> frozenset[ObjectIdentifier] | None:
    """Return the extended key usages, or `None` for a certificate that allows every usage."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    return None if _ANY_USE in found else frozenset(found)


def _unfit_use(key: str, uses: frozenset[ObjectIdentifier] | None) -> CheckResult | None:
    if uses is None or not key.endswith("certificate_file"):
        return None
    if key.startswith("outbound."):
        if _SERVER_USE in uses:
            return None
        return failed(
            f"{key} needs a server's certificate, but the certificate's extended key usage does not include "
            "serverAuth",
            "get a certificate whose extended key usage includes serverAuth",
        )
    if _CLIENT_USE not in uses:
        return failed(
            f"{key} needs a client's certificate, but the certificate's extended key usage does not "
            "include clientAuth; public authorities have not issued clientAuth since 2026",
            "get a certificate for clientAuth from an authority that the server trusts",
        )
    if _SERVER_USE in uses:
        return warning(
            f"{key} is a certificate for both clients and servers. Since 2026-06-15, Salesforce refuses "
            "such certificates, and public authorities no longer issue them",
            "get a certificate for clientAuth only",
        )
    return None


def _validity(certificate: x509.Certificate, key: str, now: datetime) -> CheckResult:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= ends:
        return failed(f"{key}: the certificate has expired on {ends:%Y-%m-%d}", _RENEW)
    if now < begins:
        return failed(
            f"{key}: the certificate is not valid before {begins:%Y-%m-%d %H:%M} UTC",
            "wait until then, or correct this machine's clock",
        )
    if ends - now < _EXPIRES_SOON:
        return warning(f"{key}: the certificate expires on {ends:%Y-%m-%d}", _RENEW)
    return ok(f"{key}: the certificate is valid until {ends:%Y-%m-%d}")


_NAMED = re.compile(r"salesforce\.(?:cdc|event|outbound)\.(\w+)(?:\.|$)", re.ASCII)
_NAME = re.compile(r"\w+", re.ASCII)
Describes = Mapping[str, Once[JsonObject]]
"""Salesforce's description of each object that the configuration names, by the object's name."""


def field_checks(settings: Settings, session: OrgSession, *, timeout_s: float) -> Iterator[Check]:
    """Yield a check for each subscriber that reads fields, and a check for the protect rules."""
    records = RestRecords(session.rest)
    used = {name: (entities_of(each.on), fields_of(each)) for name, each in settings.subscribers.items()}
    protected = [
        (frozenset(filter(_NAME.fullmatch, rule.entity or ())), _protected(rule.fields))
        for rule in settings.protect
    ]
    named = frozenset().union(*(entities for entities, _ in [*used.values(), *protected]))
    describes = {
        entity: Once(partial(records.describe, entity), session.clock, timeout_s=timeout_s)
        for entity in sorted(named)
    }
    for name, (entities, fields) in used.items():
        if fields:
            run = partial(_compared, session, describes, [(entities, fields)], f"subscribers.{name}")
            yield Check(area=Area.CONFIGURATION, name=f"fields of {name}", run=run)
    if any(fields for _, fields in protected):
        run = partial(_compared, session, describes, protected, "protect")
        yield Check(area=Area.CONFIGURATION, name="fields of protect", run=run)


def entities_of(patterns: Iterable[str]) -> frozenset[str]:
    """Return the objects in event type `patterns`, or an empty set if a pattern matches further objects."""
    found = [_NAMED.match(each) for each in patterns]
    return frozenset(each[1] for each in found if each) if all(found) else frozenset()


def fields_of(subscriber: SubscriberSettings) -> frozenset[str]:
    """Return the fields that a subscriber's valid expressions and templates read."""
    content = subscriber.content
    expressions = [subscriber.when, *(each.id for each in subscriber.enrich.values())]
    read = [fields_read(each) for each in [*expressions, *_leaves(subscriber.body)] if each is not None]
    templates = [subscriber.text, content.template if content else None]
    read += [fields_in_template(each) for each in templates if each is not None]
    return frozenset().union(*read)


def unknown_fields(fields: Collection[str], describes: Sequence[JsonObject]) -> Iterator[tuple[str, str]]:
    """Yield each of `fields` that no object in `describes` has, with the most similar name, if any."""
    known = {str(each["name"]) for describe in describes for each in describe["fields"]}
    for name in sorted(set(fields) - known):
        by_case = {each.lower(): each for each in known}
        close = difflib.get_close_matches(name.lower(), by_case, n=1)
        yield name, by_case[close[0]] if close else ""


async def _compared(
    session: OrgSession,
    describes: Describes,
    used: Iterable[tuple[frozenset[str], frozenset[str]]],
    where: str,
) -> Sequence[CheckResult]:
    await session.token.needed(LOGIN)
    verdicts: list[CheckResult] = []
    compared = 0
    for entities, fields in used:
        if entities:
            compared += len(fields)
            found = [await describes[each]() for each in sorted(entities)]
            verdicts += [_field_verdict(where, entities, *each) for each in unknown_fields(fields, found)]
    if not compared:
        raise Inapplicable(
            f"the doctor can check fields only if {where} names its objects, as in "
            "salesforce.cdc.Opportunity.*"
        )
    return verdicts or [ok(f"the org has every field that {where} names: {counted(compared, 'field')}")]


def _field_verdict(where: str, entities: Collection[str], name: str, close: str) -> CheckResult:
    hint = f"did you mean {close}? " if close else ""
    return warning(
        f"{where} names the field {name}, but {' or '.join(sorted(entities))} does not have it",
        f"{hint}correct the name, or give the user access to the field",
    )


def _protected(fields: Iterable[str]) -> frozenset[str]:
    """Return the top-level fields that a rule names without a star."""
    names = (each.partition(".")[0] for each in fields)
    return frozenset(filter(_NAME.fullmatch, names))


def _leaves(shape: object) -> Iterator[str]:
    match shape:
        case str():
            yield shape
        case dict():
            for part in shape.values():
                yield from _leaves(part)
        case list():
            for part in shape:
                yield from _leaves(part)


# A JWT's key file can also contain the certificate that the org has.
_WITH_CERTIFICATES = ("certificate_file", "org.auth.key")
_LARGEST_FILE = 1024 * 1024
# A certificate is public, but its key is not.
_PRIVATE_KEYS = ("key_file",)
_FILE_REMEDY = "run chmod o-rwx FILE; for a Secret in Kubernetes, set defaultMode to 0440"


def secret_files(document: Document) -> dict[Path, str]:
    """Return the secret files that `document` names as {file: path}, each with its first key."""
    found: dict[Path, str] = {}
    for keys, path in document.secret_files.items():
        found.setdefault(path, ".".join(map(str, keys)))
    return found


def file_checks(secret: Mapping[Path, str], named: Mapping[Path, str], clock: Clock) -> Iterator[Check]:
    """Yield a check for each secret file, and for each file that a setting names."""
    for path, key in ({**named, **secret}).items():
        is_private = path in secret or key.endswith(_PRIVATE_KEYS)

        async def run(path: Path = path, key: str = key, *, is_private: bool = is_private) -> CheckResult:
            verdict = _judged_file(path, key, is_private=is_private)
            if verdict.status is not CheckStatus.OK or not key.endswith(_WITH_CERTIFICATES):
                return verdict
            with path.open("rb") as file:
                pem = file.read(_LARGEST_FILE)
            return certificate_verdict(pem, key, now=clock.now()) or verdict

        yield Check(area=Area.FILES, name=str(path), run=run)


def _judged_file(path: Path, key: str, *, is_private: bool) -> CheckResult:
    try:
        # The mode of the target counts, because Kubernetes mounts a Secret through links.
        mode = path.stat().st_mode
    except OSError as error:
        return failed(
            f"{key} names this file, but it can't be read: {error.strerror}",
            "create the file, or correct the path",
        )
    if not stat.S_ISREG(mode):
        return failed(
            f"{key} names this path, but the path is not a regular file", "set {key} to the path of a file"
        )
    if not os.access(path, os.R_OK):
        return failed(
            f"{key} names this file, but the current user can't read it",
            "give the daemon's user the right to read the file",
        )
    if is_private and mode & stat.S_IRWXO:
        what = "write" if mode & stat.S_IWOTH else "read"
        return warning(
            (
                f"every user of this machine can {what} this file (mode {stat.S_IMODE(mode):04o}), but {key} "
                "is a secret"
            ),
            _FILE_REMEDY.replace("FILE", str(path)),
        )
    return ok(f"{key} names this file, which other users can't read" if is_private else f"{key}")
