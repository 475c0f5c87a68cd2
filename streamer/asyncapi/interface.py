"""Interface that a configuration offers to the readers of its topics, and its brokers."""

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from streamer.configuration import load_draft
from streamer.configuration.document import Document, Keys
from streamer.configuration.event_types import ANYTHING, Carried
from streamer.errors import ConfigurationError
from streamer.events import JsonObject, SubscriberName
from streamer.settings import KafkaLogSettings, KafkaSecurity

# The placeholder is long enough for every check of a secret.
_STAND_IN = "a-secret-that-is-not-there"
_SECRETS = (("log", "kafka", "security"), ("log", "kafka", "schema_registry"), ("outbound", "messages"))
_NEEDED = ("log", "channels", "outbound", "state")
_NOWHERE = "localhost:9092"
ANY_OBJECT = "{name}"
"""Stands for the name of each object in the name of a topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """Everything that determines the topics: the log's settings, the channels' events, the subscribers.

    `servers` is true if the configuration contains the brokers' addresses.
    `forwarded` has the names of the subscribers that come after other subscribers.
    `states` has the objects whose records Streamer keeps, or `ANY_OBJECT`.
    """

    kafka: KafkaLogSettings
    carried: tuple[Carried, ...]
    servers: bool = True
    subscribers: tuple[SubscriberName, ...] = ()
    forwarded: tuple[SubscriberName, ...] = ()
    states: tuple[str, ...] = ()

    @classmethod
    def by_default(cls) -> "Interface":
        """Return an interface for any configuration: with all possible channels, and without servers."""
        kafka = KafkaLogSettings(bootstrap_servers=_NOWHERE)
        return cls(kafka=kafka, carried=ANYTHING, servers=False, states=(ANY_OBJECT,))

    @classmethod
    def of(cls, document: Document) -> "Interface":
        """Return the interface of a configuration, whose secrets can be missing.

        Raises `ConfigurationError` for a mistake in the sections that determine
        topics, for an unknown section, and for a log that is not in Kafka.
        """
        filled = _filled(document)
        draft = load_draft(filled)
        # An unknown section can be one of these sections with a mistyped name.
        unknown = any(len(keys) == 1 for keys in draft.mistaken)
        if unknown or not all(draft.is_sound(section) for section in _NEEDED):
            raise ConfigurationError("\n".join(draft.lines))
        settings = draft.settings
        if settings.log.kafka is None:
            sentence = "log.sqlite is set, and a SQLite log has no topics: set log.kafka instead"
            raise ConfigurationError(document.mistake(("log",), sentence))
        return cls(
            kafka=settings.log.kafka,
            carried=tuple(dict.fromkeys(Carried.by(path) for path in settings.paths)),
            subscribers=tuple(settings.subscribers),
            forwarded=tuple(name for name, each in settings.subscribers.items() if each.after),
            states=tuple(settings.state.objects) if settings.state is not None else (),
        )


def _filled(document: Document) -> Document:
    """Return `document` with placeholders for missing secrets."""
    missing = [keys for keys in document.mistakes if any(keys[: len(each)] == each for each in _SECRETS)]
    data = deepcopy(document.data)
    for keys in missing:
        _put(data, keys, _STAND_IN)
    mistakes = {keys: line for keys, line in document.mistakes.items() if keys not in missing}
    return replace(document, data=data, mistakes=mistakes)


def _put(data: Any, keys: Keys, value: str) -> None:
    for key in keys[:-1]:
        data = data[key]
    data[keys[-1]] = value


BINDING = {"bindingVersion": "0.5.0"}
"""Version of the Kafka bindings."""

_ENCRYPTED = frozenset({"SSL", "SASL_SSL"})
_LOGIN = "login"
_CERTIFICATE = "certificate"
_BEARER = {"type": "http", "scheme": "bearer"}
_MECHANISMS = {"PLAIN": "plain", "SCRAM-SHA-256": "scramSha256", "SCRAM-SHA-512": "scramSha512"}


def servers(kafka: KafkaLogSettings) -> JsonObject:
    """Return the brokers of `bootstrap_servers` as numbered servers."""
    protocol = "kafka-secure" if kafka.security.protocol in _ENCRYPTED else "kafka"
    schemes = [{"$ref": f"#/components/securitySchemes/{name}"} for name in security_schemes(kafka)]
    named = kafka.schema_registry if kafka.format != "json" else None
    registry = {"schemaRegistryUrl": named.url, **BINDING} if named else None
    addresses = [each.strip() for each in kafka.bootstrap_servers.split(",")]
    return {
        f"kafka-{number}": {
            "host": address,
            "protocol": protocol,
            "description": f"A bootstrap server of the Kafka cluster (protocol {kafka.security.protocol}).",
            **({"security": schemes} if schemes else {}),
            **({"bindings": {"kafka": registry}} if registry else {}),
        }
        for number, address in enumerate(filter(None, addresses), 1)
    }


def security_schemes(kafka: KafkaLogSettings) -> JsonObject:
    """Return the authentication that Streamer uses, which other clients can also use."""
    security = kafka.security
    schemes: JsonObject = {}
    if security.protocol.startswith("SASL") and security.mechanism is not None:
        schemes[_LOGIN] = {**_login(security), "description": f"SASL, {security.mechanism}"}
    if security.protocol in _ENCRYPTED and security.certificate_file is not None:
        schemes[_CERTIFICATE] = {"type": "X509", "description": "a client certificate"}
    return schemes


def _login(security: KafkaSecurity) -> JsonObject:
    oauth = security.oauth
    if oauth is None:
        return {"type": _MECHANISMS[str(security.mechanism)]}
    if oauth.token_url is None:
        return dict(_BEARER)
    scopes = dict.fromkeys((oauth.scope or "").split(), "")
    return {
        "type": "oauth2",
        "flows": {"clientCredentials": {"tokenUrl": oauth.token_url, "availableScopes": scopes}},
    }
