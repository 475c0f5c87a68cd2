"""Evaluates NetworkPolicies as Kubernetes does: which peer may connect to which pod, and which port."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from tests.integration.deployment.manifests import Manifests

NAMESPACE = "streamer"
"""Where the tests pretend that the manifests were applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One end of a connection: a pod with its labels, or an address outside of the cluster.

    A policy matches a pod by its labels and its namespace's, and everything else by its address.
    """

    address: str = "10.244.0.7"
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def namespace_labels(self) -> Mapping[str, str]:
        """Labels of the pod's namespace: Kubernetes itself sets its name."""
        return {"kubernetes.io/metadata.name": str(self.namespace)}


def can_reach(manifests: Manifests, pod: Any, peer: Peer, port: int, protocol: str = "TCP") -> bool:
    """Return whether `pod`, a template of the manifests, may connect to `peer`."""
    rules = _rules(manifests, pod, "Egress")
    return rules is None or any(
        _selects(rule.get("to"), peer) and _opens(rule.get("ports"), port, protocol, {}) for rule in rules
    )


def can_be_reached(manifests: Manifests, pod: Any, peer: Peer, port: int, protocol: str = "TCP") -> bool:
    """Return whether `peer` may connect to `port` of `pod`, a template of the manifests."""
    rules = _rules(manifests, pod, "Ingress")
    named = {each["name"]: each["containerPort"] for each in pod["spec"]["containers"][0]["ports"]}
    return rules is None or any(
        _selects(rule.get("from"), peer) and _opens(rule.get("ports"), port, protocol, named)
        for rule in rules
    )


def _rules(manifests: Manifests, pod: Any, direction: str) -> list[Any] | None:
    """Return the rules for the pod in one direction, or None if no policy restricts it."""
    policies = [
        each["spec"]
        for each in manifests.of_kind("NetworkPolicy")
        if direction in each["spec"]["policyTypes"]
        and _matches(each["spec"]["podSelector"], pod["metadata"]["labels"])
    ]
    rules = [rule for policy in policies for rule in policy.get(direction.lower(), [])]
    return rules if policies else None


def _selects(peers: Iterable[Any] | None, peer: Peer) -> bool:
    """Return whether one of the rule's peers is this one. A rule without peers is open to all."""
    return not peers or any(_is(each, peer) for each in peers)


def _is(selector: Any, peer: Peer) -> bool:
    if "ipBlock" in selector:
        address, block = ip_address(peer.address), selector["ipBlock"]
        return (
            peer.namespace is None
            and address in ip_network(block["cidr"])
            and not any(address in ip_network(each) for each in block.get("except", []))
        )
    # Without a selector of namespaces, the policy's own is meant.
    inside = (
        _matches(selector["namespaceSelector"], peer.namespace_labels)
        if "namespaceSelector" in selector
        else peer.namespace == NAMESPACE
    )
    return peer.namespace is not None and inside and _matches(selector.get("podSelector", {}), peer.labels)


def _matches(selector: Any, labels: Mapping[str, str]) -> bool:
    """Return whether the labels meet the selector, in each form that the manifests use."""
    assert selector.keys() <= {"matchLabels"}, selector
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def _opens(ports: Iterable[Any] | None, port: int, protocol: str, named: Mapping[str, int]) -> bool:
    """Return whether the rule covers the port. A rule without ports covers all."""
    return not ports or any(
        each.get("protocol", "TCP") == protocol and named.get(each["port"], each["port"]) == port
        for each in ports
    )
