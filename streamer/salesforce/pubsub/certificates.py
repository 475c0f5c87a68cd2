"""Certificate authorities that can vouch for the Pub/Sub API."""

import ssl
from pathlib import Path

from streamer.errors import ConfigurationError
from streamer.files import regular_files

_BUNDLE = "ca-certificates.crt"


def authorities(ca_file: Path | None) -> bytes | None:
    """Return the authorities in `ca_file`, or the system's, as PEM; `None` if the system has none.

    The system's are those that Python's other TLS clients trust, such as the
    ones in `SSL_CERT_FILE`; gRPC on its own would trust those that it was
    built with. Raises `ConfigurationError` when `ca_file` can't be used.
    """
    if ca_file is None:
        return _of_system()
    try:
        pem = regular_files.content(ca_file)
        ssl.create_default_context().load_verify_locations(cadata=pem.decode("ascii"))
    except (OSError, ValueError) as exc:
        # An SSLError is an OSError too, and its words tell an operator nothing.
        is_missing = not isinstance(exc, ssl.SSLError) and isinstance(exc, OSError)
        reason = exc.strerror if isinstance(exc, OSError) and is_missing else "no certificates in PEM"
        raise ConfigurationError(f"org.pubsub.ca_file: {ca_file} can't be used: {reason}") from exc
    return pem


def _of_system() -> bytes | None:
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.capath) if paths.capath else None
    files = [Path(paths.cafile)] if paths.cafile else [folder / _BUNDLE] if folder else []
    if folder and not files[0].is_file():
        # One file for each authority, named by the hash of its subject.
        files = sorted(folder.glob("*.[0-9]"))
    return b"\n".join(file.read_bytes() for file in files if file.is_file()) or None
