"""Rules for targets' addresses; private and similar addresses are refused unless a rule allows them."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from streamer.later import Later

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = Later("asyncio")

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]
"""Result of `socket.getaddrinfo`."""

_REMEDY = (
    "set allow_private in the subscriber's settings to true, or to a list of the networks that "
    "the subscriber can reach"
)
_NEVER = "which is always forbidden"

# An attacker who makes a process call these addresses can get the machine's credentials.
_METADATA = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # AWS, Azure, Google Cloud, Oracle and others
            "fd00:ec2::254",  # AWS
            "169.254.170.2",  # AWS ECS
            "169.254.170.23",  # AWS EKS
            "fd00:ec2::23",  # AWS EKS
            "fd20:ce::254",  # Google Cloud
            "168.63.129.16",  # Azure
            "100.100.100.200",  # Alibaba Cloud
            "192.0.0.192",  # Oracle Cloud
        ),
    )
)
_THIS_NETWORK = ip_network("0.0.0.0/8")
# Translators put an IPv4 address into the last 32 bits (RFC 6052, RFC 8215 and RFC 2765).
_TRANSLATED = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/96"), ip_network("::ffff:0:0:0/96"))
_LOCALLY_TRANSLATED = ip_network("64:ff9b:1::/48")
# RFC 4291, section 2.5.5.1.
_COMPATIBLE = ip_network("::/96")
_LAST_32_BITS = 0xFFFF_FFFF


def is_address(host: str) -> bool:
    """Return true for an IP address, and false for a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class AddressRefused(OSError):
    """The settings forbid connections to a target's address; the message says how to allow the address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRule:
    """Allowed addresses of a target, besides public addresses.

    `private` allows private, shared, unique local and loopback addresses;
    `loopback` allows only loopback addresses. `networks` allows the addresses in
    these networks, even link-local addresses. Multicast, unspecified and reserved
    addresses and the metadata services of clouds are never allowed. For an IPv6
    address that embeds an IPv4 address, the rule for the IPv4 address counts.
    """

    private: bool = False
    loopback: bool = False
    networks: tuple[IPNetwork, ...] = ()

    def refusal(self, address: str) -> str | None:
        """Return the kind of `address` with the way to allow it, or `None` for an allowed address.

        The text completes a sentence, such as "a private address: set …".
        """
        try:
            given = ip_address(address)
        except ValueError:
            return "not an IP address"
        meant = _meant(given)
        if (kind := _never_admitted(meant)) is not None:
            return f"{kind}, {_NEVER}"
        if any(each in network for network in self.networks for each in (given, meant)):
            return None
        kind = self._refused_kind(meant)
        return None if kind is None else f"{kind}: {_REMEDY}"

    def socket(self, info: AddressInfo) -> socket.socket:
        """Return a new, unconnected socket for the address in `info`.

        Raises `AddressRefused`.
        """
        family, kind, protocol, _, address = info
        if (refusal := self.refusal(str(address[0]))) is not None:
            raise AddressRefused(f"{address[0]} is {refusal}")
        return socket.socket(family=family, type=kind, proto=protocol)

    def _refused_kind(self, address: IPAddress) -> str | None:
        if address.is_link_local:
            return "a link-local address, which only a list of networks allows"
        if address.is_loopback:
            return None if self.private or self.loopback else "a loopback address"
        return None if self.private or _is_public(address) else "a private address"


async def connected_socket(host: str, port: int, rule: AddressRule) -> socket.socket:
    """Return a socket connected to the first allowed address of `host` that answers.

    Raises `AddressRefused` if no address of the host is allowed. If no allowed address
    answers, raises the `OSError` of the last address.
    """
    loop = asyncio.get_running_loop()
    last: OSError | None = None
    for info in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if (refusal := rule.refusal(str(info[4][0]))) is not None:
            last = last or AddressRefused(f"{host} is at {info[4][0]}, {refusal}")
            continue
        made = rule.socket(info)
        made.setblocking(False)
        try:
            await loop.sock_connect(made, info[4])
        except BaseException as exc:
            made.close()
            if not isinstance(exc, OSError):
                raise
            last = exc
        else:
            return made
    raise last or OSError(f"the host name {host} has no address")


def _meant(address: IPAddress) -> IPAddress:
    """Return the IPv4 address embedded in an IPv6 address, or `address` itself."""
    if isinstance(address, IPv4Address):
        return address
    if (inner := address.ipv4_mapped or address.sixtofour) is not None:
        return inner
    is_compatible = address in _COMPATIBLE and not (address.is_loopback or address.is_unspecified)
    if is_compatible or any(address in network for network in _TRANSLATED):
        return IPv4Address(int(address) & _LAST_32_BITS)
    return address


def _never_admitted(address: IPAddress) -> str | None:
    if address in _METADATA:
        return "the address of a cloud's metadata service"
    if address.is_unspecified or address in _THIS_NETWORK:
        return "an unspecified address"
    if address.is_multicast:
        return "a multicast address"
    if isinstance(address, IPv4Address) and address.is_reserved:
        return "a reserved address"
    return None


def _is_public(address: IPAddress) -> bool:
    if isinstance(address, IPv6Address) and (address.is_site_local or address in _LOCALLY_TRANSLATED):
        return False
    return address.is_global


def is_loopback(host: str) -> bool:
    """Return true for `localhost` and its subdomains, 127.0.0.0/8 and ::1."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
