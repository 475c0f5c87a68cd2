"""Log: Kafka, or a local file."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from streamer.settings.schema_registry import SchemaRegistrySettings
from streamer.settings.section import Section, optional_section
from streamer.web.addresses import is_loopback

_EXTENSION_NAME = Annotated[str, Field(pattern=r"^[A-Za-z]+$", examples=["logicalCluster"])]
_EXTENSION_VALUE = Annotated[str, Field(pattern=r"^[^\s,=][^,]*$", examples=["lkc-12345"])]
_UNFIT_IN_A_TOPIC = re.compile(r"[^A-Za-z0-9._-]")


def _without_credentials(servers: str) -> str:
    if "@" in servers:
        raise ValueError("must not contain a user or a password: write them in security")
    return servers


BootstrapServers = Annotated[str, AfterValidator(_without_credentials)]
"""Brokers' addresses without credentials."""


class KafkaOAuth(Section):
    """Tokens of the mechanism OAUTHBEARER, from an address by client credentials or from a provider."""

    token_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^@]+$",
        examples=["https://idp.acme.com/oauth2/token"],
        description="address that issues tokens for client credentials (OpenID Connect)",
    )
    client_id: str | None = Field(default=None, description="id of the client at token_url")
    client_secret: SecretStr | None = Field(default=None, description="secret of the client at token_url")
    scope: str | None = Field(default=None, description="scope of the token")
    extensions: dict[_EXTENSION_NAME, _EXTENSION_VALUE] = Field(
        default_factory=dict,
        description=(
            "SASL extensions of the login, such as logicalCluster and identityPoolId of Confluent Cloud"
        ),
    )
    ca_file: Path | None = Field(
        default=None,
        description="file with the certificate authorities of token_url, PEM; default: the system's",
    )
    provider: str | None = Field(
        default=None,
        description="name of a token provider (an entry point streamer.kafka_tokens), such as aws-msk-iam",
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="settings of the token provider")

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        by_credentials = (self.token_url, self.client_id, self.client_secret)
        if self.provider is not None:
            if any((*by_credentials, self.scope, self.extensions, self.ca_file)):
                raise ValueError("must contain either provider and its settings, or token_url, not both")
            return self
        if self.settings:
            raise ValueError("settings are for a token provider: set provider, or remove settings")
        if not all(by_credentials):
            raise ValueError("must contain token_url, client_id and client_secret, or provider")
        address = urlsplit(self.token_url or "")
        if address.scheme == "http" and not is_loopback(address.hostname or ""):
            raise ValueError("token_url must begin with https://, because the secret is sent to it")
        return self


class KafkaSecurity(Section):
    """Encryption and authentication between Streamer and the brokers."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT",
        description=(
            "protocol of the connection: SSL encrypts, SASL logs in, SASL_SSL does both; brokers on "
            "other machines need SSL or SASL_SSL"
        ),
    )
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = Field(
        default=None, description="mechanism of the SASL login"
    )
    username: str | None = Field(default=None, description="user name of the SASL login")
    password: SecretStr | None = Field(default=None, description="password of the SASL login")
    oauth: KafkaOAuth | None = Field(default=None, description="tokens of the mechanism OAUTHBEARER")
    ca_file: Path | None = Field(
        default=None,
        description="file with the certificate authorities that Streamer trusts, PEM; default: the system's",
    )
    certificate_file: Path | None = Field(
        default=None, description="file with the client certificate for mTLS, PEM"
    )
    key_file: Path | None = Field(
        default=None, description="file with the private key of the client certificate, PEM"
    )
    key_password: SecretStr | None = Field(default=None, description="password of the private key")

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        is_bearer = self.mechanism == "OAUTHBEARER"
        if self.oauth is not None and not is_bearer:
            raise ValueError("oauth is only for mechanism OAUTHBEARER: set it, or remove oauth")
        if not self.protocol.startswith("SASL"):
            return self
        if is_bearer and (self.oauth is None or self.username or self.password):
            raise ValueError("OAUTHBEARER needs oauth, and takes no username and no password")
        if not is_bearer and not (self.mechanism and self.username and self.password):
            raise ValueError(f"{self.protocol} needs mechanism, username and password")
        return self


_NAME = "{name}"
_STATE_TOPIC = "salesforce.state.{name}"
_KINDS = ("cdc", "event", "topic", "generic", "outbound", "other")
# The topics of these families have the name of a subscriber at the end.
_FAMILIES = ("parked", "forwarded")


def _can_be_equal(template: str, other: str) -> bool:
    """Return whether two templates can give one topic name, with any text without a dot as {name}."""
    first, last = template.split(_NAME)
    if _NAME not in other:
        # All events of a kind share one topic.
        return re.fullmatch(f"{re.escape(first)}[^.]+{re.escape(last)}", other) is not None
    beginning, *_, end = other.split(_NAME)
    return _differs_by_name(first, beginning) and _differs_by_name(last[::-1], end[::-1])


def _differs_by_name(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    return longer.startswith(shorter) and "." not in longer[len(shorter) :]


def _is_a_template(template: str) -> str:
    if _UNFIT_IN_A_TOPIC.search(re.sub(r"\{(kind|name)\}", "", template)):
        raise ValueError("can contain {kind}, {name}, letters, digits, '.', '_' and '-'")
    return template


TopicTemplate = Annotated[str, Field(min_length=1), AfterValidator(_is_a_template)]
"""Name of topics, with `{kind}` and `{name}`."""


class KafkaTopicsSettings(Section):
    """Names of the event topics of single kinds, which replace `topic`; a name can be without {name}."""

    cdc: TopicTemplate | None = Field(
        default=None, examples=["sfdc.{name}ChangeEvent"], description="topics of change events"
    )
    event: TopicTemplate | None = Field(default=None, description="topics of platform events")
    topic: TopicTemplate | None = Field(default=None, description="topics of PushTopic notifications")
    generic: TopicTemplate | None = Field(default=None, description="topics of generic events")
    outbound: TopicTemplate | None = Field(default=None, description="topics of outbound messages")


_TYPED_NAME = Annotated[
    str,
    Field(pattern=r"^(cdc|event|topic|generic|outbound)\.[A-Za-z][A-Za-z0-9_]*$", examples=["cdc.Account"]),
]
_TOPIC_NAME = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", max_length=249, examples=["crm-accounts"]),
]


class KafkaLogSettings(Section):
    """Log in Kafka."""

    bootstrap_servers: BootstrapServers = Field(
        description="addresses of the brokers as host:port, separated by commas"
    )
    prefix: str = Field(
        default="streamer",
        pattern=r"^[A-Za-z0-9._-]{1,80}$",
        examples=["streamer"],
        description=(
            "prefix of all names that Streamer uses in Kafka, except event topics; daemons with the same "
            "prefix share the work"
        ),
    )
    security: KafkaSecurity = optional_section(
        "encryption and authentication between Streamer and the brokers"
    )
    allow_plaintext: bool = Field(
        default=False, description="true allows unencrypted connections to brokers on other machines"
    )
    topic: str = Field(
        default="salesforce.{kind}.{name}",
        description="name of an event topic; {kind} stands for cdc, event, topic, generic or outbound, and "
        "{name} for the entity, platform event, PushTopic or generic channel",
    )
    state_topic: str = Field(
        default=_STATE_TOPIC,
        description="name of a topic with the states of an object's records; {name} stands for the object",
    )
    state_envelope: Literal["streamer", "flat", "debezium"] = Field(
        default="streamer",
        description=(
            "form of the values in the state topics: the record's fields in a part of their own (streamer), "
            "beside the other keys (flat), or before and after the change as Debezium has them (debezium)"
        ),
    )
    state_directory: Path = Field(
        default=Path("data/state"),
        description=(
            "folder for local copies of the state topics; Streamer builds a missing copy again from its topic"
        ),
    )
    topics: KafkaTopicsSettings = optional_section(
        "names of the event topics of single kinds instead of topic; without {name}, all events of the "
        "kind share one topic"
    )
    topic_names: dict[_TYPED_NAME, _TOPIC_NAME] = Field(
        default_factory=dict,
        description=(
            "names of single event topics, such as cdc.Account: crm-accounts; the key is the kind and the "
            "name of the events"
        ),
    )
    topic_case: Literal["keep", "lower"] = Field(
        default="keep",
        description=(
            "letters of the names that follow from topic and topics: keep, or lower (as Confluent's "
            "connectors write them by default)"
        ),
    )
    content_mode: Literal["binary", "structured"] = Field(
        default="binary",
        description=(
            "form of an event's record: binary (CloudEvents attributes in headers, the data in the "
            "value) or structured (one JSON document)"
        ),
    )
    tombstones: bool = Field(
        default=False,
        description=(
            "true: after the event of a deleted record, Streamer writes a tombstone (a record with the "
            "same key and without a value), by which a compacted topic and readers of tables forget the "
            "record; only in topics of change events"
        ),
    )
    format: Literal["json", "avro", "json-schema"] = Field(
        default="json",
        description=(
            "format of change events, platform events and record states: json, or avro or json-schema with "
            "schemas in schema_registry; other events are always JSON"
        ),
    )
    schema_registry: SchemaRegistrySettings | None = Field(
        default=None,
        description="registry that stores the schemas of events and states in Avro or JSON Schema",
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        default="lz4",
        description="compression of the records; the library of each consumer must support this compression",
    )
    create_topics: bool = Field(
        default=True, description="true: Streamer creates missing topics; false: Streamer only reports them"
    )
    partitions: int = Field(default=6, ge=1, description="number of partitions of a new event topic")
    replication_factor: int = Field(
        default=-1, description="replication factor of new topics; -1 is the broker's default"
    )
    retention_h: float | None = Field(
        default=None, gt=0, description="retention of a new event topic; default: the broker's retention"
    )
    checkpoint_partitions: int = Field(
        default=8,
        ge=1,
        le=256,
        description="number of partitions of the checkpoint topic; fixed once the topic exists",
    )
    parked_partitions: int = Field(
        default=8,
        ge=1,
        le=256,
        description=(
            "number of partitions of each subscriber's topic of parked events; fixed once the topic exists"
        ),
    )
    group_commit_events: int = Field(
        default=5_000,
        ge=1,
        description="maximum number of events that one transaction commits",
    )
    group_commit_bytes: int = Field(
        default=8 * 1024 * 1024,
        ge=1024,
        description="maximum number of bytes that one transaction commits",
    )
    append_deadline_s: float = Field(
        default=20.0,
        gt=0,
        description=(
            "time for which Streamer retries an append, before the channel starts over at its checkpoint"
        ),
    )
    transaction_timeout_s: float = Field(
        default=30.0, gt=0, description="time after which the broker aborts an open transaction"
    )
    session_timeout_s: float = Field(
        default=6.0,
        gt=0,
        description=(
            "time after which other processes take over the partitions of a process that sends no heartbeats"
        ),
    )
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict,
        description=(
            "further settings of librdkafka, under librdkafka's names; Streamer refuses a setting for "
            "which log.kafka has a key"
        ),
    )

    @model_validator(mode="after")
    def _has_a_registry(self) -> Self:
        if self.format == "json":
            return self
        if self.schema_registry is None:
            raise ValueError(f"format: {self.format} needs schema_registry")
        if self.content_mode == "structured":
            raise ValueError(
                f"format: {self.format} needs content_mode: binary, because a structured event is one JSON "
                "document"
            )
        return self

    @field_validator("topic")
    @classmethod
    def _has_a_name(cls, template: str) -> str:
        if "{name}" not in template or _UNFIT_IN_A_TOPIC.search(re.sub(r"\{(kind|name)\}", "", template)):
            raise ValueError(
                "must contain {name}; it can also contain {kind}, letters, digits, '.', '_' and '-'"
            )
        return template

    @field_validator("state_topic")
    @classmethod
    def _is_a_state_template(cls, template: str) -> str:
        before, place, after = template.partition(_NAME)
        if not place or re.search(r"[^A-Za-z0-9._-]", before + after) or template.startswith("__"):
            raise ValueError(
                "must contain {name} once; it can also contain letters, digits, '.', '_' and '-'"
            )
        return template

    @model_validator(mode="after")
    def _state_topics_are_no_other_topics(self) -> Self:
        given = self.topics.model_dump(exclude_none=True)
        events = [given.get(kind, self.topic).replace("{kind}", kind) for kind in _KINDS]
        own = [f"{self.prefix}.{_NAME}", *(f"{self.prefix}.{family}.{_NAME}" for family in _FAMILIES)]
        for others, what in ((events, "an event topic (topic)"), (own, "an internal topic (prefix)")):
            if any(_can_be_equal(self.state_topic, each) for each in others):
                raise ValueError(
                    f"state_topic {self.state_topic} can be the name of {what}: use a name that only "
                    f"state topics have, such as {_STATE_TOPIC}"
                )
        return self


class SqliteLogSettings(Section):
    """Log in one local file, for one process."""

    path: Path = Field(
        default=Path("data/streamer.db"),
        description="path of the log's file; Streamer creates a missing file",
    )
    retention_h: float = Field(
        default=7 * 24.0, gt=0, description="time for which the log keeps settled events and receipts"
    )
    max_bytes: int = Field(
        default=10 * 1024**3,
        ge=1024**2,
        description="maximum size of the file; ingest waits when the file reaches this size",
    )
    group_commit_events: int = Field(
        default=5_000,
        ge=1,
        description="maximum number of events that one transaction commits",
    )


class LogSettings(Section):
    """The log: either `kafka` or `sqlite` (the default)."""

    kafka: KafkaLogSettings | None = Field(default=None, description="log in Kafka, for many processes")
    sqlite: SqliteLogSettings | None = Field(
        default=None, description="log in one local file, for one process; the default"
    )

    @model_validator(mode="after")
    def _one_log(self) -> Self:
        if self.kafka and self.sqlite:
            raise ValueError("must contain either kafka or sqlite, not both")
        return self
