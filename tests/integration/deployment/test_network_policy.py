"""Where the pods can connect to, and what connects to them."""

from ipaddress import ip_address, ip_network

import pytest
import yaml

from streamer.web.addresses import AddressRule
from tests.integration.deployment.manifests import FOLDERS, Manifests, rendered

ADDRESSES = (
    ("8.8.8.8", "85.222.140.10", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"),
    ("10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "127.0.0.1", "0.0.0.0"),
    ("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255"),
    (
        "::1",
        "fe80::1",
        "fd00:ec2::254",
        "fc00::1",
        "::ffff:10.1.2.3",
        "2001:db8::1",
        "2002:a01:203::1",
        "ff02::1",
    ),
)
"""The first line is of public ones."""


@pytest.fixture(params=FOLDERS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """The manifests of the base, or of an overlay."""
    return rendered(str(request.param))


def reachable(manifests: Manifests, address: str, port: int) -> bool:
    """Return whether the policy lets the pods connect to `address`, which is none of a pod."""
    policy = manifests.one("NetworkPolicy", "streamer")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    blocks = [
        each["ipBlock"]
        for rule in policy["egress"]
        if port in [allowed["port"] for allowed in rule["ports"]]
        for each in rule["to"]
        if "ipBlock" in each
    ]
    given = ip_address(address)
    return any(
        given in ip_network(block["cidr"])
        and not any(given in ip_network(each) for each in block.get("except", []))
        for block in blocks
    )


@pytest.mark.parametrize("address", [each for group in ADDRESSES for each in group])
def test_policy_and_daemon_agree_which_addresses_are_public(address: str) -> None:
    """HTTPS leads to the addresses that the daemon itself admits as a target's, and to no others."""
    admitted = AddressRule().refusal(address) is None

    assert admitted is (address in ADDRESSES[0])
    assert {reachable(rendered(folder), address, 443) for folder in FOLDERS} == {admitted}


def test_nothing_is_reached_on_another_port(manifests: Manifests) -> None:
    """Outside of the cluster there are HTTPS and the Pub/Sub API, and DNS on the node itself."""
    assert reachable(manifests, "8.8.8.8", 7443)
    assert not any(reachable(manifests, "8.8.8.8", port) for port in (22, 25, 53, 80, 9092, 9093))
    assert reachable(manifests, "169.254.20.10", 53)


def test_only_monitoring_reaches_the_metrics(manifests: Manifests) -> None:
    """Every other way in is that of outbound messages."""
    ways = {
        port["port"]: [each["namespaceSelector"]["matchLabels"] for each in rule["from"]]
        for rule in manifests.one("NetworkPolicy", "streamer")["spec"]["ingress"]
        for port in rule["ports"]
    }

    assert ways.pop("metrics") == [{"kubernetes.io/metadata.name": "monitoring"}]
    assert ways in ({}, {"outbound": [{"kubernetes.io/metadata.name": "ingress-nginx"}]})


def test_brokers_are_reached_where_the_log_is_in_kafka(manifests: Manifests) -> None:
    """By the rule for the namespace that the configuration names; without Kafka there is no rule."""
    log = yaml.safe_load(manifests.configuration)["log"]
    brokers = [
        each["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for rule in manifests.one("NetworkPolicy", "streamer")["spec"]["egress"]
        if 9093 in [allowed["port"] for allowed in rule["ports"]]
        for each in rule["to"]
    ]

    if "sqlite" in log:
        assert brokers == []
    else:
        host, _, port = log["kafka"]["bootstrap_servers"].partition(":")
        assert (brokers, port) == ([host.partition(".")[2]], "9093")
