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
    allow_plaintext: bool = Field(default=False, description="allow mqtt:// to hosts other than loopback")
    allow_private: AllowedPrivate = False
    ca_file: Path | None = Field(
        default=None, description="certificate authorities, PEM; default: the system's authorities"
    )
    client_certificate: ClientCertificate | None = Field(default=None, description="for mutual TLS")
    username: str | None = Field(default=None, description="the user, if the broker requires one")
    password: SecretStr | None = Field(default=None, description="the user's password")
    version: Annotated[
        MqttVersion, BeforeValidator(_version, json_schema_input_type=Literal["5", "3.1.1", 5])
    ] = Field(
        default=MqttVersion.V5,
        description="version of MQTT; with 3.1.1, a broker can't refuse a message",
    )
    client_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=_LONGEST_TEXT,
        description="id under which the broker keeps the session across restarts; each process needs its "
        "own, such as streamer-${HOSTNAME}; default: a new id for each start, without a "
        "session",
    )
    session_expiry_s: int = Field(
        default=_HOUR_S,
        ge=0,
        le=0xFFFFFFFF,
        description="time for which the broker keeps the session of client_id after the connection; "
        "0: no session, as always with qos 2; with 3.1.1, the broker keeps it without a time limit",
    )
    topic: PlaceholderText = Field(
        description="topic of a message, such as salesforce/{entity}/{record_id}; characters that MQTT "
        "forbids in the value of a placeholder are quoted as in a URL"
    )
    qos: Literal[0, 1, 2] = Field(
        default=1,
        description="1 and 2: an event is delivered when the broker has acknowledged it; 0: when it was "
        "sent, so it can be lost",
    )
    retain: bool = Field(
        default=False, description="true: the broker keeps the last message of each topic for new consumers"
    )
    deletions: Literal["publish", "clear"] = Field(
        default="publish",
        description="for a deleted record: publish: a message as for other events; clear: an empty "
        "message, which removes the topic's retained message",
    )
    content_mode: ContentMode | None = Field(
        default=None,
        description="binary: the payload is body, and user properties contain the event's attributes; "
        "structured: the payload is the CloudEvent with body as its data; plain: only body, without "
        "attributes; default: binary, or with 3.1.1 structured",
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
        description="largest message with its topic and properties; default: the broker's limit",
    )
    batch_size: int = Field(
        default=100, ge=1, le=10_000, description="most events that are published together"
    )
    batch_wait_s: float = Field(
        default=0.01, ge=0, le=1, description="longest time that the first of them waits for others"
    )
    keep_alive_s: int = Field(
        default=30, ge=2, le=_LONGEST_TEXT, description="time after which a silent connection counts as lost"
    )
    timeout_s: float = Field(
        default=10.0, gt=0, le=300, description="time for opening a connection, and for an acknowledgement"
    )

    @field_validator("topic")
    @classmethod
    def _is_a_topic(cls, topic: str) -> str:
        if not topic:
            raise ValueError("is empty")
        if re.search(r"[+#\0]", topic):
            raise ValueError("must not contain +, # or NUL, which a message's topic can't contain")
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
            raise ValueError("content_mode: binary needs version 5: use structured or plain")
        if self.version is MqttVersion.V311 and self.expiry_s is not None:
            raise ValueError("expiry_s needs version 5")
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
