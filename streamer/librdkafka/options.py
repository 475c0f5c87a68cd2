"""Options of librdkafka for security, options reserved for Streamer, and librdkafka's log lines."""

from typing import Any

from streamer.later import LaterLogger
from streamer.librdkafka.tokens import TokenSource
from streamer.settings import KafkaOAuth, KafkaSecurity
from streamer.web.addresses import is_loopback

BROKER_OPTIONS = ("bootstrap.servers", "metadata.broker.list")
"""Options that name the brokers."""

COMPRESSION_OPTIONS = ("compression.codec", "compression.type")
"""Options that choose the compression of records."""

DURABILITY_OPTIONS = (
    "acks",
    "delivery.report.only.error",
    "enable.idempotence",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "request.required.acks",
)
"""Options with which a producer could lose, repeat or reorder records."""

CODE_OPTIONS = ("plugin.library.paths",)
"""Options that load code into the process."""

TOKEN_OPTION = "oauth_cb"  # noqa: S105 - the name of an option
"""Option with the function that returns tokens."""

SECURITY_PREFIXES = ("sasl.", "ssl.", "enable.sasl.", "enable.ssl.", "https.ca.")
"""Prefixes of the options for encryption and authentication, except `security.protocol`."""
_log = LaterLogger()


def security_options(security: KafkaSecurity) -> dict[str, Any]:
    """Return `security` as options of librdkafka, with secrets in plain text.

    Tokens of a provider need `token_options` beside these.
    """
    password = security.password.get_secret_value() if security.password else None
    key_password = security.key_password.get_secret_value() if security.key_password else None
    given = {
        "security.protocol": security.protocol,
        "sasl.mechanism": security.mechanism,
        "sasl.username": security.username,
        "sasl.password": password,
        "ssl.ca.location": str(security.ca_file) if security.ca_file else None,
        "ssl.certificate.location": str(security.certificate_file) if security.certificate_file else None,
        "ssl.key.location": str(security.key_file) if security.key_file else None,
        "ssl.key.password": key_password,
        **(_oidc_options(security.oauth) if security.oauth and security.oauth.provider is None else {}),
    }
    return {name: value for name, value in given.items() if value is not None}


def token_options(security: KafkaSecurity) -> dict[str, TokenSource]:
    """Return the option by which a connecting client gets tokens of a provider; empty without a provider.

    Raises `ConfigurationError` for a provider that can't be loaded.
    """
    if security.oauth is None or security.oauth.provider is None:
        return {}
    return {TOKEN_OPTION: TokenSource(security.oauth)}


def _oidc_options(oauth: KafkaOAuth) -> dict[str, Any]:
    secret = oauth.client_secret
    extensions = ",".join(f"{name}={value}" for name, value in oauth.extensions.items())
    return {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": oauth.token_url,
        "sasl.oauthbearer.client.id": oauth.client_id,
        "sasl.oauthbearer.client.secret": secret.get_secret_value() if secret else None,
        "sasl.oauthbearer.scope": oauth.scope,
        "sasl.oauthbearer.extensions": extensions or None,
        "https.ca.location": str(oauth.ca_file) if oauth.ca_file else None,
    }


def plaintext_host(bootstrap_servers: str, security: KafkaSecurity) -> str | None:
    """Return a host that is reached without encryption and is not a loopback address, or `None`."""
    if not security.protocol.endswith("PLAINTEXT"):
        return None
    hosts = map(_host, bootstrap_servers.split(","))
    return next((host for host in hosts if not is_loopback(host)), None)


def _host(broker: str) -> str:
    """Return the host of `broker`, which is `host:port` or `protocol://host:port`.

    An IPv6 address has brackets.
    """
    address = broker.strip().rpartition("://")[2]
    host, colon, _ = address.rpartition(":")
    return (host if colon else address).strip("[]")


class LibraryLogger:
    """Logger for librdkafka's log lines, which would otherwise go to standard error.

    Important errors also reach the client's `error_cb`, once.
    """

    def __init__(self) -> None:
        self._last = ""

    def log(self, _level: int, _template: str, facility: str, client: str, line: str) -> None:
        """Log a line if it differs from the last line; librdkafka calls this like `logging.Logger.log`."""
        if line != self._last:
            _log.debug("kafka.client_said", facility=facility, client=client, line=line)
        self._last = line
