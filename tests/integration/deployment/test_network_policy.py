"""The rendered NetworkPolicies, evaluated with the peers of a cluster, in both directions."""

from typing import Any

import pytest
import yaml

from streamer.web.addresses import AddressRule
from tests.integration.deployment.manifests import FOLDERS, Manifests, rendered
from tests.integration.deployment.policies import Peer, can_be_reached, can_reach

PUBLIC = ("8.8.8.8", "85.222.140.10", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1")
PRIVATE = (
    *("10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "127.0.0.1", "0.0.0.0"),
    *("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255"),
    *("::1", "fe80::1", "fd00:ec2::254", "fc00::1", "::ffff:10.1.2.3", "2001:db8::1", "2002:a01:203::1"),
    "ff02::1",
)
COREDNS = Peer(namespace="kube-system", labels={"k8s-app": "kube-dns", "pod-template-hash": "5d78c9869d"})
NODE_LOCAL_DNS = Peer(address="169.254.20.10")
KUBE_PROXY = Peer(namespace="kube-system", labels={"k8s-app": "kube-proxy"})
PRETENDER = Peer(namespace="default", labels={"k8s-app": "kube-dns"})
BROKER = Peer(namespace="kafka", labels={"strimzi.io/cluster": "events", "app.kubernetes.io/name": "kafka"})
PROMETHEUS = Peer(namespace="monitoring", labels={"app.kubernetes.io/name": "prometheus"})
GATEWAY = Peer(namespace="envoy-gateway-system", labels={"app.kubernetes.io/name": "envoy"})
NEIGHBOUR = Peer(namespace="default", labels={"app": "shop"})
SIBLING = Peer(namespace="streamer", labels={"app.kubernetes.io/name": "streamer"})


@pytest.fixture(params=FOLDERS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """The manifests of the base, or of an overlay."""
    return rendered(str(request.param))


def reach(manifests: Manifests, peer: Peer, port: int, protocol: str = "TCP") -> bool:
    """Return whether the pods can connect to the peer. All pods of an overlay agree."""
    [answer] = {can_reach(manifests, pod, peer, port, protocol) for pod in manifests.pods}
    return answer


def reached(manifests: Manifests, peer: Peer, port: int) -> bool:
    """Return whether the peer can connect to the pods. All pods of an overlay agree."""
    [answer] = {can_be_reached(manifests, pod, peer, port) for pod in manifests.pods}
    return answer


@pytest.mark.parametrize("address", PUBLIC + PRIVATE)
def test_policy_and_daemon_agree_which_addresses_are_public(address: str) -> None:
    """HTTPS leads to the addresses that the daemon itself admits for targets, and to no others."""
    admitted = AddressRule().refusal(address) is None
    outside = Peer(address=address)

    assert admitted is (address in PUBLIC)
    assert {reach(rendered(folder), outside, 443) for folder in FOLDERS} == {admitted}


@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
def test_pods_resolve_names(manifests: Manifests, protocol: str) -> None:
    """The cluster's DNS pods and the cache on the node answer on port 53, over UDP and TCP."""
    assert reach(manifests, COREDNS, 53, protocol)
    assert reach(manifests, NODE_LOCAL_DNS, 53, protocol)


def test_nothing_else_passes_for_dns(manifests: Manifests) -> None:
    """The rule opens port 53 of the DNS pods only, in their own namespace."""
    assert not reach(manifests, COREDNS, 443)
    assert not reach(manifests, KUBE_PROXY, 53, "UDP")
    assert not reach(manifests, PRETENDER, 53, "UDP")
    assert not reach(manifests, Peer(address="8.8.8.8"), 53, "UDP")


def test_org_and_targets_are_reached_on_their_ports(manifests: Manifests) -> None:
    """The org and the targets answer on HTTPS, the Pub/Sub API on 7443, and nothing else is open."""
    outside = Peer(address="85.222.140.10")

    assert reach(manifests, outside, 443)
    assert reach(manifests, outside, 7443)
    assert not any(reach(manifests, outside, port) for port in (22, 25, 80, 9092, 9093))


def test_brokers_are_reached_where_the_log_is_in_kafka(manifests: Manifests) -> None:
    """The rule is for the namespace that the configuration names; without Kafka there is no rule."""
    log = yaml.safe_load(manifests.configuration)["log"]

    assert reach(manifests, BROKER, 9093) is ("kafka" in log)
    assert not reach(manifests, BROKER, 22)
    if "kafka" in log:
        host, _, port = log["kafka"]["bootstrap_servers"].partition(":")
        assert (host.partition(".")[2], port) == (BROKER.namespace, "9093")


@pytest.mark.parametrize("peer", [NEIGHBOUR, SIBLING, PROMETHEUS])
def test_pods_reach_no_other_pods(manifests: Manifests, peer: Peer) -> None:
    """A rule for public addresses opens no pod of the cluster."""
    assert not any(reach(manifests, peer, port) for port in (53, 80, 443, 7443, 9093, 9464))


def test_only_monitoring_reaches_the_metrics(manifests: Manifests) -> None:
    """Prometheus scrapes the pods; nobody else in the cluster connects to that port."""
    assert reached(manifests, PROMETHEUS, 9464)
    assert not any(
        reached(manifests, peer, 9464) for peer in (NEIGHBOUR, SIBLING, GATEWAY, Peer(address="8.8.8.8"))
    )


def test_only_the_gateway_reaches_the_outbound_endpoint(manifests: Manifests) -> None:
    """It does so in the overlay that has the endpoint, and nobody reaches the admin API."""
    exposed = bool(manifests.of_kind("Gateway"))

    assert reached(manifests, GATEWAY, 9466) is exposed
    assert not any(reached(manifests, peer, 9466) for peer in (NEIGHBOUR, SIBLING, PROMETHEUS))
    assert not any(reached(manifests, peer, 9465) for peer in (NEIGHBOUR, SIBLING, PROMETHEUS, GATEWAY))


def test_selectors_of_peers_carry_no_label_of_ours(manifests: Manifests) -> None:
    """A transformer that adds our labels to the peers of a policy makes rules that match nothing."""
    peers: list[Any] = [
        each
        for policy in manifests.of_kind("NetworkPolicy")
        for way, end in (("ingress", "from"), ("egress", "to"))
        for rule in policy["spec"][way]
        for each in rule[end]
    ]

    assert peers
    assert "app.kubernetes.io/name" not in str(peers)
