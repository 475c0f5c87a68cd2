"""Settings of the MQTT plugin."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from streamer.cloud_events import ContentMode
from streamer.web.addresses import AddressRule, is_address, is_loopback
from subscribers.http.settings import AllowedPrivate, ClientCertificate, rule_for, split_url
from subscribers.mqtt.packets import MqttVersion
from subscribers.placeholders import PlaceholderText

_PORTS = {"mqtts": 8883, "mqtt": 1883}
_LONGEST_TEXT = 65_535
_HOUR_S = 3600


def _version(value: Any) -> Any:
    # In YAML, a 5 without quotes is a number.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _fits(value: str) -> bool:
    """Return whether a packet can hold the text; an environment variable can contain any bytes."""
    try:
        return "\0" not in value and len(value.encode()) <= _LONGEST_TEXT
    except UnicodeEncodeError:
        return False


class MqttSettings(BaseModel):
    """Address of the broker, credentials, and the format of the messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    url: str = Field(description="address of the broker, such as mqtts://broker.example.com:8883")
    allow_plaintext: bool = Field(
        default=False, description="true: allow mqtt:// also for hosts that are not loopback"
    )
    allow_private: AllowedPrivate = False
    ca_file: Path | None = Field(
        default=None,
        description="file with the trusted certificate authorities, in PEM; default: the system's "
        "authorities",
    )
    client_certificate: ClientCertificate | None = Field(
        default=None, description="client certificate for mutual TLS"
    )
    username: str | None = Field(default=None, description="the user, if the broker requires one")
    password: SecretStr | None = Field(default=None, description="the user's password")
    version: Annotated[
        MqttVersion, BeforeValidator(_version, json_schema_input_type=Literal["5", "3.1.1", 5])
    ] = Field(
        default=MqttVersion.V5,
        description="version of MQTT; with 3.1.1, a broker can't report that it refuses a message",
    )
    client_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=_LONGEST_TEXT,
        description="id under which the broker keeps the session over a restart; each process needs "
        "another id, such as streamer-${HOSTNAME}; default: a new id at each start, without a session",
    )
    session_expiry_s: int = Field(
        default=_HOUR_S,
        ge=0,
        le=0xFFFFFFFF,
        description="time for which the broker keeps the session of client_id after the connection has "
        "ended; 0: no session. With qos 2, there is never a session. With version 3.1.1, the broker "
        "keeps the session without a time limit",
    )
    topic: PlaceholderText = Field(
        description="topic of a message, such as salesforce/{entity}/{record_id}; if the value of a "
        "placeholder contains characters that MQTT forbids in topics, Streamer quotes them as in a URL"
    )
    qos: Literal[0, 1, 2] = Field(
        default=1,
        description="quality of service; 1 and 2: an event counts as delivered when the broker has "
        "acknowledged the message; 0: when Streamer has sent the message, which can then be lost",
    )
    retain: bool = Field(
        default=False, description="true: the broker keeps the last message of each topic for new consumers"
    )
    deletions: Literal["publish", "clear"] = Field(
        default="publish",
        description="message for a deleted record; publish: the same message as for other events; clear: an "
        "empty message, which removes the topic's retained message",
    )
    content_mode: ContentMode | None = Field(
        default=None,
        description="format of a message; binary: the payload is body, and user properties contain the "
        "event's attributes; structured: the payload is a CloudEvent with body as its data; plain: the "
        "payload is only body; default: binary, or structured with version 3.1.1",
    )
    expiry_s: int | None = Field(
        default=None,
        ge=1,
        le=0xFFFFFFFF,
        description="time after which the broker drops a message that a consumer has not fetched; needs "
        "version 5",
    )
    max_packet_bytes: int | None = Field(
        default=None,
        ge=128,
        description=(
            "largest size of a message, including the topic and the properties; default: the broker's limit"
        ),
    )
    batch_size: int = Field(
        default=100, ge=1, le=10_000, description="maximum number of events that Streamer publishes together"
    )
    batch_wait_s: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="longest time for which the first event of a batch waits for more events",
    )
    keep_alive_s: int = Field(
        default=30, ge=2, le=_LONGEST_TEXT, description="time after which a silent connection counts as lost"
    )
    timeout_s: float = Field(
        default=10.0,
        gt=0,
        le=300,
        description="longest time for opening a connection, and longest time for an acknowledgement",
    )

    @field_validator("topic")
    @classmethod
    def _is_a_topic(cls, topic: str) -> str:
        if not topic:
            raise ValueError("is empty")
        if re.search(r"[+#\0]", topic):
            raise ValueError(
                "must not contain +, # or NUL, because MQTT forbids these characters in the topic of "
                "a message"
            )
        if topic.startswith("$"):
            raise ValueError("must not begin with $, which is reserved for the broker's own topics")
        if len(topic.encode()) > _LONGEST_TEXT:
            raise ValueError("is longer than 65,535 bytes")
        return topic

    @model_validator(mode="after")
    def _address_is_safe(self) -> Self:
        scheme, host, _ = self.broker
        if scheme == "mqtt" and not self.allow_plaintext and not is_loopback(host):
            raise ValueError(
                "url is plain mqtt: use mqtts, or set allow_plaintext: true in a network that you trust"
            )
        if scheme == "mqtt" and (self.ca_file or self.client_certificate):
            raise ValueError("ca_file and client_certificate have no effect on a plain mqtt url: use mqtts")
        if is_address(host) and (refusal := self.address_rule.refusal(host)) is not None:
            raise ValueError(f"url names {refusal}")
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.password is not None and self.username is None:
            raise ValueError("username is missing: a password needs a username")
        secret = self.password.get_secret_value() if self.password else ""
        for name, value in (("username", self.username), ("password", secret), ("client_id", self.client_id)):
            if value and not _fits(value):
                raise ValueError(
                    f"{name} is longer than 65,535 bytes, is not UTF-8, or contains a NUL character"
                )
        if self.version is MqttVersion.V311 and self.content_mode == "binary":
            raise ValueError("content_mode: binary needs version 5: set content_mode to structured or plain")
        if self.version is MqttVersion.V311 and self.expiry_s is not None:
            raise ValueError("expiry_s needs version 5: remove expiry_s, or set version: 5")
        if self.deletions == "clear" and not self.retain:
            raise ValueError(
                "deletions: clear needs retain: true, because only retained messages can be cleared"
            )
        return self

    @property
    def broker(self) -> tuple[str, str, int]:
        """Scheme, host and port; raises `ValueError` if a part is missing or the url has other parts."""
        try:
            parts, host = split_url(self.url)
        except ValueError:
            raise ValueError("url is not a URL") from None
        if parts.scheme not in _PORTS or not host:
            raise ValueError("url must begin with mqtts:// and name a host")
        if parts.username is not None or parts.password is not None:
            raise ValueError("url must not contain a user or password: set username and password instead")
        if parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ValueError("url must contain only a host and a port: set topic instead")
        return parts.scheme, host, parts.port or _PORTS[parts.scheme]

    @property
    def address_rule(self) -> AddressRule:
        """Rule for the addresses of the broker."""
        return rule_for(self.allow_private, loopback=is_loopback(self.broker[1]))

    @property
    def keeps_session(self) -> bool:
        """True if the broker keeps the client's session.

        The result is always false with QoS 2. Otherwise, after a restart, the broker
        could drop a new message as the repetition of an older message with the same
        packet id.
        """
        return self.client_id is not None and self.session_expiry_s > 0 and self.qos < 2  # noqa: PLR2004 - QoS 2 has no other name

    @property
    def mode(self) -> ContentMode:
        """Format of a message."""
        return self.content_mode or ("binary" if self.version is MqttVersion.V5 else "structured")
