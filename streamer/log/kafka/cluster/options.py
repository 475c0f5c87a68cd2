"""librdkafka options that belong to Streamer or to a section of the configuration."""

from collections.abc import Mapping

from streamer.librdkafka.options import (
    BROKER_OPTIONS,
    CODE_OPTIONS,
    COMPRESSION_OPTIONS,
    DURABILITY_OPTIONS,
    SECURITY_PREFIXES,
)

_EXACTLY_ONCE = "exactly-once delivery depends on it"
_SECURITY = "set log.kafka.security instead"

_RESERVED: Mapping[str, str] = {
    **dict.fromkeys(BROKER_OPTIONS, "set log.kafka.bootstrap_servers instead"),
    **dict.fromkeys(CODE_OPTIONS, "a configuration loads no code"),
    **dict.fromkeys(COMPRESSION_OPTIONS, "set log.kafka.compression instead"),
    **dict.fromkeys(DURABILITY_OPTIONS, _EXACTLY_ONCE),
    "allow.auto.create.topics": "set log.kafka.create_topics instead",
    "auto.commit.enable": _EXACTLY_ONCE,
    "auto.offset.reset": "set start of a channel or a subscriber instead",
    "batch.size": _EXACTLY_ONCE,
    "enable.auto.commit": _EXACTLY_ONCE,
    "enable.auto.offset.store": _EXACTLY_ONCE,
    "enable.partition.eof": _EXACTLY_ONCE,
    "enable.ssl.certificate.verification": "Streamer verifies every broker; set log.kafka.security.ca_file "
    "instead",
    "group.id": "set log.kafka.prefix instead",
    "group.instance.id": "the processes of one prefix share the work as dynamic members",
    "group.protocol": "a takeover within seconds depends on it",
    "heartbeat.interval.ms": "set log.kafka.session_timeout_s instead",
    "isolation.level": _EXACTLY_ONCE,
    "partition.assignment.strategy": _EXACTLY_ONCE,
    "partitioner": "Java clients must find a key in the same partition",
    "security.protocol": "set log.kafka.security.protocol instead",
    "session.timeout.ms": "set log.kafka.session_timeout_s instead",
    "transaction.timeout.ms": "set log.kafka.transaction_timeout_s instead",
    "transactional.id": "set log.kafka.prefix instead",
    "sasl.mechanism": "set log.kafka.security.mechanism instead",
    "sasl.mechanisms": "set log.kafka.security.mechanism instead",
    "sasl.password": "set log.kafka.security.password instead",
    "sasl.username": "set log.kafka.security.username instead",
    "ssl.ca.location": "set log.kafka.security.ca_file instead",
    "ssl.certificate.location": "set log.kafka.security.certificate_file instead",
    "ssl.key.location": "set log.kafka.security.key_file instead",
    "ssl.key.password": "set log.kafka.security.key_password instead",
}


def reserved_options(options: Mapping[str, object]) -> dict[str, str]:
    """Return the reason why an operator can't set an option, or the key to use instead, by option."""
    reasons = {name: _reason(name) for name in sorted(options)}
    return {name: reason for name, reason in reasons.items() if reason}


def _reason(name: str) -> str:
    return _RESERVED.get(name) or (_SECURITY if name.startswith(SECURITY_PREFIXES) else "")
