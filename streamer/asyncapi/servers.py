"""Servers of the document: the brokers, and how clients log in, without credentials."""

from streamer.events import JsonObject
from streamer.settings import KafkaLogSettings

_ENCRYPTED = frozenset({"SSL", "SASL_SSL"})
_LOGIN = "login"
_CERTIFICATE = "certificate"
_MECHANISMS = {"PLAIN": "plain", "SCRAM-SHA-256": "scramSha256", "SCRAM-SHA-512": "scramSha512"}


def servers(kafka: KafkaLogSettings) -> JsonObject:
    """Return the brokers of `bootstrap_servers`, numbered."""
    protocol = "kafka-secure" if kafka.security.protocol in _ENCRYPTED else "kafka"
    schemes = [{"$ref": f"#/components/securitySchemes/{name}"} for name in security_schemes(kafka)]
    addresses = [each.strip() for each in kafka.bootstrap_servers.split(",")]
    return {
        f"kafka-{number}": {
            "host": address,
            "protocol": protocol,
            "description": f"A bootstrap server ({kafka.security.protocol}).",
            **({"security": schemes} if schemes else {}),
        }
        for number, address in enumerate(filter(None, addresses), 1)
    }


def security_schemes(kafka: KafkaLogSettings) -> JsonObject:
    """Return how Streamer logs in, and so how a client can."""
    security = kafka.security
    schemes: JsonObject = {}
    if security.protocol.startswith("SASL") and security.mechanism is not None:
        kind = _MECHANISMS[security.mechanism]
        schemes[_LOGIN] = {"type": kind, "description": f"SASL, {security.mechanism}"}
    if security.protocol in _ENCRYPTED and security.certificate_file is not None:
        schemes[_CERTIFICATE] = {"type": "X509", "description": "a client certificate"}
    return schemes
