"""Properties of MQTT 5 packets (section 2.2.2 of the standard), and their data types."""

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any


class MalformedPacketError(ValueError):
    """The broker sent something that is not an MQTT packet."""


class Property(IntEnum):
    """Identifiers of the properties that Streamer sends or reads."""

    PAYLOAD_FORMAT = 0x01
    MESSAGE_EXPIRY_S = 0x02
    CONTENT_TYPE = 0x03
    SESSION_EXPIRY_S = 0x11
    SERVER_KEEP_ALIVE_S = 0x13
    SERVER_REFERENCE = 0x1C
    REASON = 0x1F
    RECEIVE_MAXIMUM = 0x21
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER = 0x26
    MAXIMUM_PACKET_BYTES = 0x27


_ONE_BYTE = frozenset({0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A})
_TWO_BYTES = frozenset({0x13, 0x21, 0x22, 0x23})
_FOUR_BYTES = frozenset({0x02, 0x11, 0x18, 0x27})
_TEXT = frozenset({0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F})
_BINARY = frozenset({0x09, 0x16})
_VARIABLE = 0x0B

_LONGEST_TEXT = 65_535
_LONGEST_VARIABLE = 4


def variable(number: int) -> bytes:
    """Return `number` as a variable byte integer."""
    encoded = bytearray()
    while True:
        number, low = divmod(number, 0x80)
        encoded.append(low | 0x80 if number else low)
        if not number:
            return bytes(encoded)


def binary(value: bytes) -> bytes:
    """Return `value` with its length before it; raises `ValueError` above 65,535 bytes."""
    if len(value) > _LONGEST_TEXT:
        raise ValueError("a text of more than 65,535 bytes does not fit into an MQTT packet")
    return len(value).to_bytes(2) + value


def text(value: str) -> bytes:
    """Return `value` in UTF-8 after its length; raises `ValueError` for a text that MQTT can't represent."""
    if "\0" in value:
        raise ValueError("MQTT can't represent a text with a NUL character")
    return binary(value.encode())


def encoded(
    single: Mapping[Property, int | str], user: Iterable[tuple[str, str]] = (), *, are_there: bool
) -> bytes:
    """Return properties after their length; return nothing if the version has no properties."""
    if not are_there:
        return b""
    content = b"".join([_encoded(name, value) for name, value in single.items()])
    user_id = bytes([Property.USER])
    content += b"".join([user_id + text(name) + text(value) for name, value in user])
    return variable(len(content)) + content


def _encoded(name: Property, value: int | str) -> bytes:
    identifier = bytes([name])
    if isinstance(value, str):
        return identifier + text(value)
    return identifier + value.to_bytes(1 if name in _ONE_BYTE else 2 if name in _TWO_BYTES else 4)


class PacketReader:
    """Reads the content of one packet.

    Each method raises `MalformedPacketError` if the packet ends too soon.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """True when everything has been read."""
        return self._at >= len(self._content)

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        taken = self._content[self._at : self._at + count]
        if len(taken) < count:
            raise MalformedPacketError("a packet is incomplete")
        self._at += count
        return taken

    def number(self, count: int) -> int:
        """Return the next `count` bytes as a number."""
        return int.from_bytes(self.take(count))

    def variable(self) -> int:
        """Return a variable byte integer."""
        number = 0
        for position in range(_LONGEST_VARIABLE):
            byte = self.number(1)
            number |= (byte & 0x7F) << 7 * position
            if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
                return number
        raise MalformedPacketError("a length has too many bytes")

    def text(self) -> str:
        """Return a text; bytes that are not UTF-8 are replaced."""
        return self.take(self.number(2)).decode(errors="replace")

    def properties(self) -> Mapping[int, Any]:
        """Return the next properties; empty at the end.

        If a property occurs several times, the last one counts.
        """
        if self.is_at_end:
            return {}
        inner = PacketReader(self.take(self.variable()))
        found = {}
        while not inner.is_at_end:
            identifier = inner.variable()
            found[identifier] = inner._value(identifier)
        return found

    def _value(self, identifier: int) -> Any:
        read = _READ.get(identifier)
        if read is None:
            raise MalformedPacketError(f"the property {identifier:#x} does not exist in MQTT 5")
        return read(self)


_READ: Mapping[int, Callable[[PacketReader], Any]] = MappingProxyType(
    {
        **dict.fromkeys(_ONE_BYTE, lambda reader: reader.number(1)),
        **dict.fromkeys(_TWO_BYTES, lambda reader: reader.number(2)),
        **dict.fromkeys(_FOUR_BYTES, lambda reader: reader.number(4)),
        **dict.fromkeys(_TEXT, PacketReader.text),
        **dict.fromkeys(_BINARY, lambda reader: reader.take(reader.number(2))),
        _VARIABLE: PacketReader.variable,
        Property.USER: lambda reader: (reader.text(), reader.text()),
    }
)
