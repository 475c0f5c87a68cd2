"""Files of credentials: they are there, readable, and closed to other users; certificates are valid."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from streamer.clock import Clock
from streamer.configuration import Document
from streamer.doctor.check import Area, Check, CheckResult, CheckStatus, failed, ok, warning
from streamer.doctor.configuration.certificates import certificate_verdict

# A JWT's key file can contain its certificate too; the org has a copy of it.
_WITH_CERTIFICATES = ("certificate_file", "org.auth.key")
_LARGEST = 1024 * 1024
# A certificate is public; its key is not.
_PRIVATE = ("key_file",)
_REMEDY = "chmod o-rwx FILE; for a Secret in Kubernetes set defaultMode: 0440"


def secret_files(document: Document) -> dict[Path, str]:
    """Return the files of secrets that `document` names as {file: path}, each with its first key."""
    found: dict[Path, str] = {}
    for keys, path in document.secret_files.items():
        found.setdefault(path, ".".join(map(str, keys)))
    return found


def file_checks(secret: Mapping[Path, str], named: Mapping[Path, str], clock: Clock) -> Iterator[Check]:
    """Yield a check for each file of a secret, and for each that a setting names, by its key."""
    for path, key in ({**named, **secret}).items():
        is_private = path in secret or key.endswith(_PRIVATE)

        async def run(path: Path = path, key: str = key, *, is_private: bool = is_private) -> CheckResult:
            verdict = _judged(path, key, is_private=is_private)
            if verdict.status is not CheckStatus.OK or not key.endswith(_WITH_CERTIFICATES):
                return verdict
            with path.open("rb") as file:
                pem = file.read(_LARGEST)
            return certificate_verdict(pem, key, now=clock.now()) or verdict

        yield Check(area=Area.FILES, name=str(path), run=run)


def _judged(path: Path, key: str, *, is_private: bool) -> CheckResult:
    try:
        # Through the links by which Kubernetes mounts a Secret.
        mode = path.stat().st_mode
    except OSError as error:
        return failed(
            f"{key} names it, and it can't be read: {error.strerror}", "create it, or correct the path"
        )
    if not stat.S_ISREG(mode):
        return failed(f"{key} names it, and it is not a regular file", "let the key name a file")
    if not os.access(path, os.R_OK):
        return failed(f"{key} names it, and this user can't read it", "let the daemon's user read it")
    if is_private and mode & stat.S_IRWXO:
        what = "write" if mode & stat.S_IWOTH else "read"
        return warning(
            f"every user of this machine can {what} it (mode {stat.S_IMODE(mode):04o}); {key} is a secret",
            _REMEDY.replace("FILE", str(path)),
        )
    return ok(f"{key}, closed to other users" if is_private else f"{key}")
