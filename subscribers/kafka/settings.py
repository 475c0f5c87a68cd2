"""Settings of the Kafka plugin."""

import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from streamer.cloud_events import ContentMode
from streamer.librdkafka.options import (
    BROKER_OPTIONS,
    CODE_OPTIONS,
    COMPRESSION_OPTIONS,
    DURABILITY_OPTIONS,
    SECURITY_PREFIXES,
    plaintext_host,
)
from streamer.settings import BootstrapServers, KafkaSecurity
from subscribers.expression import Expression
from subscribers.placeholders import PlaceholderText, Template

_OWN_KEYS = {
    **dict.fromkeys(BROKER_OPTIONS, "bootstrap_servers"),
    **dict.fromkeys(COMPRESSION_OPTIONS, "compression"),
    "delivery.timeout.ms": "timeout_s",
    "message.timeout.ms": "timeout_s",
    "security.protocol": "security",
}
_PROMISED = frozenset(
    {
        *DURABILITY_OPTIONS,
        "allow.auto.create.topics",
        "partitioner",
        "transactional.id",
    }
)
_OWN_HEADERS = ("ce_", "content-type")


class KafkaSettings(BaseModel):
    """Brokers and topic of the records, and the format of the records."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    bootstrap_servers: BootstrapServers = Field(
        description="addresses of the brokers, as host:port, separated by commas"
    )
    security: KafkaSecurity = Field(
        default=KafkaSecurity(), description="encryption and authentication, as in log.kafka.security"
    )
    allow_plaintext: bool = Field(
        default=False,
        description="true: allow connections without encryption also to brokers that are not on loopback",
    )
    topic: PlaceholderText = Field(
        min_length=1,
        examples=["crm.orders", "crm.{entity}"],
        description="name of an existing topic; the name can contain placeholders of the event, such as "
        "crm.{entity} or crm.{body.region}",
    )
    key: Expression | None = Field(
        default="key",
        description="JMESPath expression over the event that gives the key of the Kafka record. The "
        "default is the event's own key, which keeps the events of a Salesforce record in order. null: "
        "records without a key",
    )
    content_mode: ContentMode = Field(
        default="binary",
        description="format of a record; binary: body as the value, with the CloudEvents attributes in "
        "headers; structured: a CloudEvent with body as its data; plain: only body",
    )
    headers: dict[str, Expression] = Field(
        default_factory=dict,
        description="additional headers: a JMESPath expression over the event for each name of a header",
    )
    deletions: Literal["write", "tombstone", "skip"] = Field(
        default="write",
        description="record for a deletion; write: the same record as for other events; tombstone: a record "
        "without a value, after which a compacted topic drops the key; skip: no record",
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        default="lz4", description="compression of the records; every consumer must support this compression"
    )
    timeout_s: float = Field(
        default=10.0,
        ge=0.1,
        le=300,
        description=(
            "longest time until the brokers must have accepted a record; must be less than deliver_timeout_s"
        ),
    )
    batch_size: int = Field(
        default=200, ge=1, le=10_000, description="maximum number of events that Streamer writes together"
    )
    batch_wait_s: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="longest time for which the first event of a batch waits for more events",
    )
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict,
        description=(
            "settings of librdkafka's producer, by their librdkafka names, except settings that "
            "other keys of this section set"
        ),
    )

    @field_validator("topic")
    @classmethod
    def _is_a_topic(cls, topic: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._-]*", "".join(Template(topic).literals)):
            raise ValueError(
                "must consist of letters, digits, '.', '_' and '-', and of placeholders such as {entity}"
            )
        return topic

    @field_validator("headers")
    @classmethod
    def _are_other_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        if taken := [name for name in headers if not name or name.lower().startswith(_OWN_HEADERS)]:
            raise ValueError(f"must not set {taken[0]!r}: content_mode sets content-type and ce_ headers")
        return headers

    @field_validator("options")
    @classmethod
    def _are_no_keys_of_ours(cls, options: dict[str, str | int | float | bool]) -> object:
        for name in options:
            if instead := _OWN_KEYS.get(name) or ("security" if name.startswith(SECURITY_PREFIXES) else ""):
                raise ValueError(f"must not set {name}: set {instead} instead")
            if name in CODE_OPTIONS:
                raise ValueError(f"must not set {name}: a configuration must not load code")
            if name in _PROMISED:
                raise ValueError(
                    f"must not set {name}: the order and the durability of records depend on this option"
                )
        return options

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.deletions == "tombstone" and self.key is None:
            raise ValueError("deletions: tombstone needs a key")
        host = plaintext_host(self.bootstrap_servers, self.security)
        if host is not None and not self.allow_plaintext:
            raise ValueError(
                f"security.protocol is {self.security.protocol}, so others in the network on the way "
                f"to {host} could read the events: use SSL or SASL_SSL, or set allow_plaintext if you "
                "trust this network"
            )
        return self
