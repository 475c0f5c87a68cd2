"""Packets of MQTT 5 and 3.1.1 that a publishing client needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from subscribers.mqtt.properties import PacketReader, Property, binary, encoded, text, variable


class MqttVersion(StrEnum):
    """Version of the protocol, in the words of the configuration."""

    V5 = "5"
    V311 = "3.1.1"


class PacketType(IntEnum):
    """Control packet types (section 2.1.2)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


PINGREQ = bytes([PacketType.PINGREQ << 4, 0])
DISCONNECT = bytes([PacketType.DISCONNECT << 4, 0])

_LEVELS = {MqttVersion.V5: 5, MqttVersion.V311: 4}
_CLEAN_START, _HAS_PASSWORD, _HAS_USERNAME = 0x02, 0x40, 0x80
_RETAIN = 0x01
_UTF8 = 1

LARGEST_ANSWER = 64 * 1024
"""Longest packet that is read, in bytes; a client that only publishes receives only short answers."""

# Codes of CONNACK in 3.1.1, with the codes of MQTT 5 that have the same meaning.
_CODES_OF_V311 = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}
_UNSPECIFIED = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """Request for a connection; if `session_expiry_s` is 0, the session ends with the connection."""

    client_id: str
    keep_alive_s: int
    clean_start: bool
    session_expiry_s: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def encoded(self, version: MqttVersion) -> bytes:
        """Return the packet; raises `ValueError` for a text that is too long or contains a NUL."""
        flags = (
            _CLEAN_START * self.clean_start
            | _HAS_USERNAME * (self.username is not None)
            | _HAS_PASSWORD * (self.password is not None)
        )
        properties = encoded(
            {
                Property.SESSION_EXPIRY_S: self.session_expiry_s,
                Property.RECEIVE_MAXIMUM: 1,
                Property.MAXIMUM_PACKET_BYTES: LARGEST_ANSWER,
            },
            are_there=version is MqttVersion.V5,
        )
        content = text("MQTT") + bytes([_LEVELS[version], flags]) + self.keep_alive_s.to_bytes(2) + properties
        content += text(self.client_id)
        if self.username is not None:
            content += text(self.username)
        if self.password is not None:
            content += binary(self.password.encode())
        return _packet(PacketType.CONNECT, 0, content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Application message; the last three fields are sent only with MQTT 5."""

    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    content_type: str | None = None
    expiry_s: int | None = None
    user_properties: Mapping[str, str] = field(default_factory=dict)

    def encoded(self, version: MqttVersion, packet_id: int) -> bytes:
        """Return the packet; raises `ValueError` for a text that is too long or contains a NUL."""
        single: dict[Property, int | str] = {}
        if self.content_type is not None:
            single |= {Property.PAYLOAD_FORMAT: _UTF8, Property.CONTENT_TYPE: self.content_type}
        if self.expiry_s is not None:
            single[Property.MESSAGE_EXPIRY_S] = self.expiry_s
        head = text(self.topic) + (packet_id.to_bytes(2) if self.qos else b"")
        head += encoded(single, self.user_properties.items(), are_there=version is MqttVersion.V5)
        return _packet(PacketType.PUBLISH, self.qos << 1 | _RETAIN * self.retain, head + self.payload)


def release(packet_id: int) -> bytes:
    """Return the PUBREL that ends a message of QoS 2."""
    return _packet(PacketType.PUBREL, 0x02, packet_id.to_bytes(2))


def _packet(kind: PacketType, flags: int, content: bytes) -> bytes:
    return bytes([kind << 4 | flags]) + variable(len(content)) + content


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAnswer:
    """Answer of the broker: a reason code of MQTT 5, a reason text, and another server to use."""

    code: int = 0
    reason: str = ""
    server: str = ""

    @property
    def is_refusal(self) -> bool:
        """True if the code means a failure."""
        return self.code >= _UNSPECIFIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Connack:
    """Answer to CONNECT, and the limits that the broker sets."""

    answer: BrokerAnswer
    receive_maximum: int = 65_535
    maximum_qos: int = 2
    retains: bool = True
    maximum_packet_bytes: int | None = None
    keep_alive_s: int | None = None

    @classmethod
    def decoded(cls, version: MqttVersion, content: bytes) -> "Connack":
        """Return the packet with this content; raises `MalformedPacketError`."""
        reader = PacketReader(content)
        reader.number(1)
        code = reader.number(1)
        # A broker that does not know the version of CONNECT refuses it in the older format.
        if version is MqttVersion.V311 or 0 < code < _UNSPECIFIED:
            return cls(answer=BrokerAnswer(code=_CODES_OF_V311.get(code, _UNSPECIFIED) if code else 0))
        found = reader.properties()
        return cls(
            answer=_answer(code, found),
            # The standard forbids a receive maximum of 0 and a packet size of 0, because a client
            # could then send nothing.
            receive_maximum=max(found.get(Property.RECEIVE_MAXIMUM, 65_535), 1),
            maximum_qos=found.get(Property.MAXIMUM_QOS, 2),
            retains=bool(found.get(Property.RETAIN_AVAILABLE, 1)),
            maximum_packet_bytes=found.get(Property.MAXIMUM_PACKET_BYTES) or None,
            keep_alive_s=found.get(Property.SERVER_KEEP_ALIVE_S),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """PUBACK, PUBREC or PUBCOMP for the message with this packet id."""

    packet_id: int
    answer: BrokerAnswer

    @classmethod
    def decoded(cls, content: bytes) -> "Acknowledgement":
        """Return the packet with this content; raises `MalformedPacketError`."""
        reader = PacketReader(content)
        packet_id = reader.number(2)
        # A success can omit the code, and a code without properties can omit their length.
        code = 0 if reader.is_at_end else reader.number(1)
        return cls(packet_id=packet_id, answer=_answer(code, reader.properties()))


def disconnection(content: bytes) -> BrokerAnswer:
    """Return the reason in a DISCONNECT with this content; raises `MalformedPacketError`."""
    reader = PacketReader(content)
    code = 0 if reader.is_at_end else reader.number(1)
    return _answer(code, reader.properties())


def _answer(code: int, found: Mapping[int, Any]) -> BrokerAnswer:
    return BrokerAnswer(
        code=code,
        reason=found.get(Property.REASON, ""),
        server=found.get(Property.SERVER_REFERENCE, ""),
    )
