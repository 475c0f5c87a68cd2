"""Options of the connection to the Pub/Sub API, its streams and its certificates."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from yarl import URL

from streamer import regular_files
from streamer.errors import ConfigurationError
from streamer.later import Later
from streamer.salesforce.auth.flows import safe_address
from streamer.settings import OrgSettings, PubSubSettings
from streamer.web.addresses import is_loopback
from streamer.web.proxy import Proxy, proxy_for

if TYPE_CHECKING:
    import ssl
else:
    ssl = Later("ssl")

_BUNDLE = "ca-certificates.crt"


def authorities(ca_file: Path | None) -> bytes | None:
    """Return the authorities in `ca_file`, or the system's, as PEM; `None` if the system has none.

    Python's other TLS clients trust the same authorities of the system, for example the
    file in `SSL_CERT_FILE`. gRPC alone would trust the authorities that it was built
    with. Raises `ConfigurationError` if `ca_file` can't be used.
    """
    if ca_file is None:
        return _of_system()
    try:
        pem = regular_files.content(ca_file)
        ssl.create_default_context().load_verify_locations(cadata=pem.decode("ascii"))
    except (OSError, ValueError) as exc:
        # An SSLError is also an OSError, but its message does not help an operator.
        is_missing = not isinstance(exc, ssl.SSLError) and isinstance(exc, OSError)
        reason = (
            exc.strerror
            if isinstance(exc, OSError) and is_missing
            else "the file contains no certificates in PEM"
        )
        raise ConfigurationError(f"org.pubsub.ca_file: {ca_file} can't be used: {reason}") from exc
    return pem


def _of_system() -> bytes | None:
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.capath) if paths.capath else None
    files = [Path(paths.cafile)] if paths.cafile else [folder / _BUNDLE] if folder else []
    if folder and not files[0].is_file():
        # The folder has one file per authority, named by the hash of its subject.
        files = sorted(folder.glob("*.[0-9]"))
    return b"\n".join(file.read_bytes() for file in files if file.is_file()) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class PubSubOptions:
    """Options of the connection: times in seconds, sizes in bytes.

    Salesforce limits the credit of a stream to 100 events, and its answers to 3 MB. At
    least every 270 s, Salesforce sends an event or a keep-alive (Pub/Sub API guide,
    flow control). An event has 1 MB at most, so one event always fits into
    `answer_bytes`, which counts bytes after decompression. `authorities` are PEM
    certificates that the endpoint's certificate must chain to; with `None`, gRPC uses
    its own authorities. An unanswered ping ends the connection, so that a half-open
    connection is noticed.
    """

    endpoint: URL
    authorities: bytes | None = field(default=None, repr=False)
    proxy: Proxy | None = None
    most_credit: int = 100
    deadline_s: float = 300.0
    request_timeout_s: float = 30.0
    ping_every_s: float = 60.0
    ping_timeout_s: float = 20.0
    answer_bytes: int = 8 * 1024 * 1024
    held_bytes: int = 8 * 1024 * 1024
    reconnect_limit_s: float = 60.0

    @classmethod
    def of(cls, org: OrgSettings) -> PubSubOptions:
        """Return the options for `org`.

        Raises `ConfigurationError` if an address, a file or a proxy can't be used.
        """
        if org.pubsub.endpoint == PubSubSettings.model_fields["endpoint"].default and _is_local(
            org.login_url
        ):
            raise ConfigurationError(
                f"org.login_url is {org.login_url}, but org.pubsub.endpoint is the address of "
                "Salesforce: set org.pubsub.endpoint to the address of the same org (for `streamer "
                "sandbox`: http://localhost:7443), or set org.transport to cometd"
            )
        address = safe_address(org.pubsub.url, named="org.pubsub.endpoint", allow_http=org.allow_http)
        setting = org.proxy.get_secret_value() if org.proxy else None
        endpoint = URL(address)
        proxy = proxy_for(endpoint, setting=setting, key="org.proxy")
        if proxy is not None and proxy.url.scheme != "http":
            raise ConfigurationError(
                f"{proxy.named_by}: the Pub/Sub API can't be reached through a proxy with https://: "
                "set a proxy with http://"
            )
        trusted = authorities(org.pubsub.ca_file) if endpoint.scheme == "https" else None
        return cls(endpoint=endpoint, authorities=trusted, proxy=proxy)


def _is_local(address: str) -> bool:
    try:
        return is_loopback(URL(address).host or "")
    except ValueError:
        # Another check refuses an invalid address.
        return False
