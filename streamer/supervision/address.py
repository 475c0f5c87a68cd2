"""Address of the probes: the default one, and the file that tells an image's health check."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_EVERYWHERE, _LOOPBACK = "0.0.0.0", "127.0.0.1"  # noqa: S104 - in a container, probes come from outside
# Docker and Podman make these files.
_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))


def default_host(environ: Mapping[str, str] = os.environ, marks: tuple[Path, ...] = _MARKS) -> str:
    """Return the host to listen at where none is configured: every address in a container, else loopback.

    Metrics name channels and subscribers, and need no sign-in. On a machine,
    only its own programs read them until an operator opens them.
    """
    inside = "STREAMER_CONTAINER" in environ or "KUBERNETES_SERVICE_HOST" in environ
    return _EVERYWHERE if inside or any(mark.exists() for mark in marks) else _LOOPBACK


@contextmanager
def announced(host: str, port: int, environ: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Keep the URL of the probes in the file that STREAMER_ADDRESS_FILE names, if it names one."""
    name = environ.get("STREAMER_ADDRESS_FILE")
    if not name:
        yield
        return
    file = Path(name)
    file.write_text(f"http://{_connectable(host)}:{port}", encoding="ascii")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _connectable(host: str) -> str:
    if host in {_EVERYWHERE, "::", ""}:
        return "localhost"
    return f"[{host}]" if ":" in host else host
