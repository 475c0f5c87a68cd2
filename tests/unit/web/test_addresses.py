"""Forbidden addresses, and the settings that allow them."""

import socket
from ipaddress import ip_network

import pytest

from streamer.web.addresses import AddressRefused, AddressRule, connected_socket
from streamer.web.resolver import GuardedResolver
from tests.fixed_resolver import FixedResolver

ALL_PRIVATE = AddressRule(private=True)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822", "::ffff:93.184.216.34"]
)
def test_public_address_is_admitted(address: str) -> None:
    """Also behind a translator of an IPv6 network."""
    assert AddressRule().refusal(address) is None


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("10.1.2.3", "a private address"),
        ("172.16.0.1", "a private address"),
        ("192.168.1.1", "a private address"),
        ("100.64.0.1", "a private address"),
        ("192.0.2.1", "a private address"),
        ("fd12::1", "a private address"),
        ("fec0::1", "a private address"),
        ("64:ff9b:1:abcd::1", "a private address"),
        ("::ffff:10.1.2.3", "a private address"),
        ("::10.1.2.3", "a private address"),
        ("2002:a01:203::1", "a private address"),
        ("64:ff9b::a01:203", "a private address"),
        ("127.0.0.1", "a loopback address"),
        ("127.255.0.9", "a loopback address"),
        ("::1", "a loopback address"),
        ("::ffff:127.0.0.1", "a loopback address"),
        ("::ffff:0:127.0.0.1", "a loopback address"),
        ("::ffff:0:10.1.2.3", "a private address"),
        ("169.254.1.1", "a link-local address"),
        ("fe80::1", "a link-local address"),
        ("fe80::1%eth0", "a link-local address"),
    ],
)
def test_address_of_ones_own_networks_is_refused_with_the_remedy(address: str, kind: str) -> None:
    """In every form that an IPv6 address gives an IPv4 address."""
    refusal = AddressRule().refusal(address)

    assert refusal is not None
    assert refusal.startswith(kind)
    assert "set allow_private in the subscriber's settings" in refusal


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "::ffff:0:a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "fd00:ec2::254",
        "168.63.129.16",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "::ffff:0.0.0.0",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "240.0.0.1",
    ],
)
def test_no_setting_allows_metadata_services_and_what_is_no_server(address: str) -> None:
    """Not even a network that holds them all."""
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    for rule in (AddressRule(), ALL_PRIVATE, AddressRule(networks=everything)):
        assert "which is always forbidden" in str(rule.refusal(address))


@pytest.mark.parametrize("address", ["10.1.2.3", "fd12::1", "127.0.0.1", "100.64.0.1", "::ffff:10.1.2.3"])
def test_private_addresses_can_be_allowed(address: str) -> None:
    """Those of link-local only by their network."""
    assert ALL_PRIVATE.refusal(address) is None
    assert "only a list of networks" in str(ALL_PRIVATE.refusal("169.254.1.1"))


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.20.0.0/16", "10.20.3.4", "10.21.3.4"),
        ("10.20.0.0/16", "::ffff:10.20.3.4", "::ffff:10.21.3.4"),
        ("fd12::/16", "fd12::7", "fd13::7"),
        ("169.254.7.0/24", "169.254.7.1", "169.254.8.1"),
        ("127.0.0.0/8", "127.0.0.1", "::1"),
    ],
)
def test_networks_allow_what_is_in_them(network: str, inside: str, outside: str) -> None:
    """And no other private address."""
    rule = AddressRule(networks=(ip_network(network),))

    assert rule.refusal(inside) is None
    assert rule.refusal(outside) is not None


@pytest.mark.parametrize("text", ["erp.acme.com", "127.1", "0x7f.0.0.1", "2852039166", ""])
def test_what_is_no_address_is_refused(text: str) -> None:
    """Resolvers read some numbers as addresses."""
    assert ALL_PRIVATE.refusal(text) == "not an IP address"


async def test_resolver_leaves_out_what_is_refused() -> None:
    """A name that has a public address beside a private one leads to that alone."""
    resolver = GuardedResolver(FixedResolver("10.0.0.1", "93.184.216.34"), AddressRule())

    assert [each["host"] for each in await resolver.resolve("erp.acme.com")] == ["93.184.216.34"]


async def test_name_with_refused_addresses_alone_is_an_error() -> None:
    """It names the name, its address and the remedy."""
    resolver = GuardedResolver(FixedResolver("10.0.0.1", "fd12::1"), AddressRule())

    with pytest.raises(AddressRefused, match=r"^erp\.acme\.com is at 10\.0\.0\.1, a private address: set"):
        await resolver.resolve("erp.acme.com")


def test_socket_is_made_for_an_admitted_address_alone() -> None:
    """At the moment of the connection, whatever was resolved before."""
    rule = AddressRule(loopback=True)
    rule.socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))).close()

    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1 is a private address"):
        rule.socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("10.0.0.1", 1)))


async def test_connection_of_another_protocol_is_held_to_the_rule() -> None:
    """Such as that to an MQTT broker."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (await connected_socket("127.0.0.1", port, AddressRule(loopback=True))).close()
        with pytest.raises(
            AddressRefused, match=r"^127\.0\.0\.1 is at 127\.0\.0\.1, a loopback address: set"
        ):
            await connected_socket("127.0.0.1", port, AddressRule())
    with pytest.raises(ConnectionRefusedError):
        await connected_socket("127.0.0.1", port, AddressRule(loopback=True))
