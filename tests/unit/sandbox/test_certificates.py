"""The sandbox's certificate authority and its files."""

import stat
from pathlib import Path

import pytest
from cryptography import x509

from streamer.sandbox import certificates as module
from streamer.sandbox.certificates import Certificates, certificates


def contents(files: Certificates) -> tuple[bytes, bytes]:
    """Return the authority and the server's key and certificate."""
    return files.authority.read_bytes(), files.server.read_bytes()


def names(files: Certificates) -> set[str]:
    """Return the hosts that the server's certificate names."""
    certificate = x509.load_pem_x509_certificate(files.server.read_bytes())
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(each.value) for each in extension.value}


def test_they_are_kept_for_the_next_start(tmp_path: Path) -> None:
    """Clients that trust the authority go on trusting it."""
    first = contents(certificates(tmp_path, ["org.example"]))
    assert contents(certificates(tmp_path, ["ORG.example"])) == first


@pytest.mark.parametrize("missing", ["ca.pem", "ca.p12", "server.pem"])
def test_a_missing_file_makes_all_anew(tmp_path: Path, missing: str) -> None:
    """Since no key is kept that could sign another certificate."""
    first = contents(certificates(tmp_path, []))
    (tmp_path / missing).unlink()
    authority, server = contents(certificates(tmp_path, []))
    assert authority != first[0]
    assert server != first[1]


def test_other_names_need_another_certificate(tmp_path: Path) -> None:
    """The certificate names loopback and exactly the hosts of this start."""
    first = certificates(tmp_path, ["login.salesforce.com", "192.0.2.7"])
    assert names(first) == {"localhost", "127.0.0.1", "::1", "login.salesforce.com", "192.0.2.7"}
    assert names(certificates(tmp_path, [])) == {"localhost", "127.0.0.1", "::1"}


def test_they_are_renewed_before_they_expire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate of the last week is not kept."""
    first = contents(certificates(tmp_path, []))
    monkeypatch.setattr(module, "_RENEWED_BEFORE", module._VALID)
    assert contents(certificates(tmp_path, [])) != first


def test_only_the_server_has_a_key(tmp_path: Path) -> None:
    """Its file is for its owner alone and not for git, and the authority's key is nowhere."""
    files = certificates(tmp_path, [])
    assert stat.S_IMODE(files.server.stat().st_mode) == 0o600
    assert (tmp_path / ".gitignore").read_text() == "*\n"
    keys = [path.name for path in tmp_path.iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert keys == ["server.pem"]
    assert files.server.read_bytes().count(b"PRIVATE KEY") == 2
