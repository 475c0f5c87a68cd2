"""The rendered NetworkPolicies, evaluated with the peers of a cluster, in both directions."""

from typing import Any

import pytest
import yaml

from streamer.web.addresses import AddressRule
from tests.integration.deployment.manifests import FOLDERS, Manifests, rendered
from tests.integration.deployment.policies import NAMESPACE, Connection, Peer, admits

# Beside the edges of each network that the policy leaves out.
PUBLIC = (
    *("8.8.8.8", "85.222.140.10", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.1"),
    *("100.63.255.255", "100.128.0.1", "126.255.255.255", "128.0.0.1", "169.253.255.255", "169.255.0.0"),
    *("168.63.129.15", "168.63.129.17", "192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255"),
    *("198.20.0.0", "223.255.255.255", "1.0.0.1", "2606:4700::1111", "2a00:1450::1", "2600:1f18::1"),
)
METADATA = (
    *("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16"),
    *("192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
)
PRIVATE = (
    *("10.0.0.0", "10.1.2.3", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("192.168.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255", "0.0.0.0"),
    *("169.254.0.1", "169.254.255.255", "198.18.0.1", "198.19.255.255", "224.0.0.1", "239.255.255.255"),
    *("240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fc00::1", "fdff::1", "ff02::1"),
    *("::ffff:10.1.2.3", "::10.1.2.3", "2001:db8::1", "2002:a01:203::1", "64:ff9b::a01:203"),
)
COREDNS = Peer(namespace="kube-system", labels={"k8s-app": "kube-dns", "pod-template-hash": "5d78c9869d"})
NODE_LOCAL_DNS = Peer(address="169.254.20.10")
KUBE_PROXY = Peer(namespace="kube-system", labels={"k8s-app": "kube-proxy"})
PRETENDERS = (
    Peer(namespace="default", labels={"k8s-app": "kube-dns"}),
    Peer(namespace=NAMESPACE, labels={"k8s-app": "kube-dns"}),
    Peer(namespace="kube-system", labels={"app.kubernetes.io/name": "streamer"}),
    Peer(address="169.254.20.11"),
    Peer(address="8.8.8.8"),
)
BROKER = Peer(namespace="kafka", labels={"strimzi.io/cluster": "events", "app.kubernetes.io/name": "kafka"})
OTHER_BROKERS = (
    Peer(namespace="elsewhere", labels=BROKER.labels),
    Peer(namespace="elsewhere", labels={"kubernetes.io/metadata.name": "kafka"}),
    Peer(namespace="elsewhere", namespace_labels={"name": "kafka"}),
    Peer(address="85.222.140.10"),
)
PROMETHEUS = Peer(namespace="monitoring", labels={"app.kubernetes.io/name": "prometheus"})
GATEWAY = Peer(namespace="envoy-gateway-system", labels={"app.kubernetes.io/name": "envoy"})
NEIGHBOUR = Peer(namespace="default", labels={"app": "shop"})
SIBLING = Peer(namespace=NAMESPACE, labels={"app.kubernetes.io/name": "streamer"})
API_SERVERS = (Peer(address="10.96.0.1"), Peer(address="192.168.0.10"))
STRANGERS = (
    *(NEIGHBOUR, SIBLING, KUBE_PROXY, COREDNS, BROKER, Peer(namespace=NAMESPACE), Peer(address="8.8.8.8")),
    *(Peer(namespace="ingress-nginx"), Peer(namespace="default", labels=PROMETHEUS.labels)),
)


@pytest.fixture(params=FOLDERS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """The manifests of the base, or of an overlay."""
    return rendered(str(request.param))


def reach(manifests: Manifests, peer: Peer, port: int, protocol: str = "TCP") -> bool:
    """Return whether the pods can connect to the peer. All pods of an overlay agree."""
    policies = manifests.of_kind("NetworkPolicy")
    [answer] = {
        admits(policies, Connection(source=Peer.of(pod), target=peer, port=port, protocol=protocol))
        for pod in manifests.pods
    }
    return answer


def reached(manifests: Manifests, peer: Peer, port: int, protocol: str = "TCP") -> bool:
    """Return whether the peer can connect to the pods. All pods of an overlay agree."""
    policies = manifests.of_kind("NetworkPolicy")
    [answer] = {
        admits(policies, Connection(source=peer, target=Peer.of(pod), port=port, protocol=protocol))
        for pod in manifests.pods
    }
    return answer


@pytest.mark.parametrize("address", PUBLIC + METADATA + PRIVATE)
@pytest.mark.parametrize("port", [443, 7443])
def test_policy_and_daemon_agree_which_addresses_are_public(address: str, port: int) -> None:
    """The ports of Salesforce and the targets lead where the daemon itself goes, and nowhere else."""
    admitted = AddressRule().refusal(address) is None
    outside = Peer(address=address)

    assert admitted is (address in PUBLIC)
    assert {reach(rendered(folder), outside, port) for folder in FOLDERS} == {admitted}


@pytest.mark.parametrize("address", METADATA)
def test_metadata_services_are_out_of_reach(manifests: Manifests, address: str) -> None:
    """They hand out credentials of the machine, over plain HTTP; some of them answer DNS, too."""
    assert not any(reach(manifests, Peer(address=address), port) for port in (53, 80))
    assert not reach(manifests, Peer(address=address), 53, "UDP")


@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
def test_pods_resolve_names(manifests: Manifests, protocol: str) -> None:
    """The cluster's DNS pods and the cache on the node answer on port 53, over UDP and TCP."""
    assert reach(manifests, COREDNS, 53, protocol)
    assert reach(manifests, NODE_LOCAL_DNS, 53, protocol)


def test_nothing_else_passes_for_dns(manifests: Manifests) -> None:
    """The rule opens port 53 of the DNS pods only, in their own namespace."""
    assert not any(
        reach(manifests, peer, port) for peer in (COREDNS, NODE_LOCAL_DNS) for port in (80, 443, 9153)
    )
    for pretender in (*PRETENDERS, KUBE_PROXY):
        assert not reach(manifests, pretender, 53, "UDP")
        assert not reach(manifests, pretender, 53)


def test_org_and_targets_are_reached_on_their_ports(manifests: Manifests) -> None:
    """The org and the targets answer on HTTPS, the Pub/Sub API on 7443, and nothing else is open."""
    outside = Peer(address="85.222.140.10")

    assert reach(manifests, outside, 443)
    assert reach(manifests, outside, 7443)
    assert not any(reach(manifests, outside, port) for port in (22, 25, 53, 80, 442, 444, 8443, 9092, 9093))
    assert not reach(manifests, outside, 443, "UDP")


def test_brokers_are_reached_where_the_log_is_in_kafka(manifests: Manifests) -> None:
    """The rule is for the namespace that the configuration names; without Kafka there is no rule."""
    log = yaml.safe_load(manifests.configuration)["log"]

    assert {reach(manifests, BROKER, port) for port in (9092, 9093)} == {"kafka" in log}
    assert not any(reach(manifests, BROKER, port) for port in (22, 443, 2181, 9091, 9094, 9404))
    assert not any(reach(manifests, peer, port) for peer in OTHER_BROKERS for port in (9092, 9093))
    if "kafka" in log:
        host, _, port = log["kafka"]["bootstrap_servers"].partition(":")
        assert (host.partition(".")[2], port) == (BROKER.namespace, "9093")


@pytest.mark.parametrize("peer", [NEIGHBOUR, SIBLING, PROMETHEUS, GATEWAY, *API_SERVERS])
def test_pods_reach_no_other_pods(manifests: Manifests, peer: Peer) -> None:
    """A rule for public addresses opens no pod, no node and no API server of the cluster."""
    ports = (53, 80, 443, 6443, 7443, 9090, 9092, 9093, 9464, 9465, 9466, 10250)

    assert not any(reach(manifests, peer, port) for port in ports)


def test_only_monitoring_reaches_the_metrics(manifests: Manifests) -> None:
    """Prometheus scrapes the pods; nobody else connects to that port."""
    assert reached(manifests, PROMETHEUS, 9464)
    assert not reached(manifests, PROMETHEUS, 9464, "UDP")
    assert not any(reached(manifests, peer, 9464) for peer in (*STRANGERS, GATEWAY))


def test_only_the_gateway_reaches_the_outbound_endpoint(manifests: Manifests) -> None:
    """It does so in the overlay that has the endpoint, and nobody reaches the admin API."""
    exposed = bool(manifests.of_kind("Gateway"))

    assert reached(manifests, GATEWAY, 9466) is exposed
    assert not any(reached(manifests, peer, 9466) for peer in (*STRANGERS, PROMETHEUS))
    assert not any(reached(manifests, peer, 9465) for peer in (*STRANGERS, PROMETHEUS, GATEWAY))


def a_policy(**spec: Any) -> Any:
    """Return a policy for all pods of the namespace."""
    return {"spec": {"podSelector": {}, **spec}}


MARKED = {"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
SYSTEM = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
EXPRESSED = {"matchExpressions": [{"key": "k8s-app", "operator": "In", "values": ["kube-dns"]}]}


@pytest.mark.parametrize(
    ("spec", "is_open"),
    [
        ({"policyTypes": ["Egress"]}, False),
        ({"policyTypes": ["Ingress"]}, True),
        ({"ingress": []}, True),
        ({"egress": []}, False),
        ({"egress": [{}]}, True),
        ({"egress": [{"to": [], "ports": []}]}, True),
        ({"egress": [{"to": [MARKED]}]}, False),
        ({"egress": [{"to": [SYSTEM]}]}, True),
        ({"egress": [{"to": [{**SYSTEM, **MARKED}]}]}, True),
        ({"egress": [{"to": [{**SYSTEM, "podSelector": {"matchLabels": {"k8s-app": "x"}}}]}]}, False),
        ({"egress": [{"to": [{"namespaceSelector": {}}]}]}, True),
        ({"egress": [{"to": [{"namespaceSelector": {}, "podSelector": EXPRESSED}]}]}, True),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}, True),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.244.0.0/16"]}}]}]}, False),
        ({"egress": [{"ports": [{"port": 53}]}]}, False),
        ({"egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]}, True),
        ({"egress": [{"ports": [{"protocol": "UDP"}]}]}, True),
        ({"egress": [{"ports": [{"port": 50, "endPort": 52, "protocol": "UDP"}]}]}, False),
        ({"egress": [{"ports": [{"port": 50, "endPort": 60, "protocol": "UDP"}]}]}, True),
        ({"egress": [{"ports": [{"port": "dns", "protocol": "UDP"}]}]}, True),
        ({"egress": [{"ports": [{"port": "web", "protocol": "UDP"}]}]}, False),
    ],
)
def test_policies_are_evaluated_as_kubernetes_documents_them(spec: Any, is_open: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """An evaluator that is wrong about selectors, ports or absent rules would prove nothing."""
    ports = [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]
    dns = Peer(namespace="kube-system", labels={"k8s-app": "kube-dns"}, ports=ports)
    asking = Connection(source=SIBLING, target=dns, port=53, protocol="UDP")

    assert admits([a_policy(**spec)], asking) is is_open
    assert admits([a_policy(**spec), a_policy(egress=[{}])], asking)
