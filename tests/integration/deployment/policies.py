"""Evaluates NetworkPolicies as Kubernetes does: which end can open a connection to which, at which port."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Literal

NAMESPACE = "streamer"
"""Where the tests pretend that the manifests were applied."""

_NAME = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One end of a connection: a pod of the cluster, or without a `namespace` any other address.

    `ports` are the ports that the pod's containers declare. Kubernetes itself
    labels each namespace with its name.
    """

    address: str = "10.244.0.7"
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[Any] = ()

    @classmethod
    def of(cls, template: Any) -> "Peer":
        """Return the pod that a deployment makes from its `template`."""
        ports = [port for each in template["spec"]["containers"] for port in each.get("ports", ())]
        return cls(namespace=NAMESPACE, labels=template["metadata"]["labels"], ports=ports)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Connection that `source` tries to open to a port of `target`."""

    source: Peer
    target: Peer
    port: int
    protocol: str = "TCP"


def admits(policies: Sequence[Any], tried: Connection) -> bool:
    """Return whether the policies let a connection out of its source and into its target.

    All policies are of `NAMESPACE`. A pod admits a connection if one of the
    policies that select it does, or if none selects it.
    """
    return _admits(policies, tried, "Egress") and _admits(policies, tried, "Ingress")


def _admits(policies: Sequence[Any], tried: Connection, way: Literal["Egress", "Ingress"]) -> bool:
    subject, peer = (tried.source, tried.target) if way == "Egress" else (tried.target, tried.source)
    selecting = [
        each["spec"]
        for each in policies
        if subject.namespace == NAMESPACE
        and _selects(each["spec"]["podSelector"], subject.labels)
        and way in _ways(each["spec"])
    ]
    rules = [rule for spec in selecting for rule in spec.get(way.lower()) or ()]
    side = "to" if way == "Egress" else "from"
    return not selecting or any(
        _names(rule.get(side), peer) and _opens(rule.get("ports"), tried) for rule in rules
    )


def _ways(spec: Any) -> Sequence[str]:
    """Return the directions that a policy restricts; where it doesn't say, egress only with rules for it."""
    return spec.get("policyTypes") or ("Ingress", *(("Egress",) if "egress" in spec else ()))


def _names(peers: Iterable[Any] | None, peer: Peer) -> bool:
    """Return whether one of the rule's peers is this one. A rule without peers is open to all."""
    return not peers or any(_is(each, peer) for each in peers)


def _is(rule: Any, peer: Peer) -> bool:
    if "ipBlock" in rule:
        # Most networks compare the addresses of pods too.
        address, block = ip_address(peer.address), rule["ipBlock"]
        left_out = (ip_network(each) for each in block.get("except", ()))
        return address in ip_network(block["cidr"]) and not any(address in each for each in left_out)
    if peer.namespace is None or not _selects(rule.get("podSelector", {}), peer.labels):
        return False
    if "namespaceSelector" not in rule:
        return peer.namespace == NAMESPACE
    return _selects(rule["namespaceSelector"], {**peer.namespace_labels, _NAME: peer.namespace})


def _opens(ports: Iterable[Any] | None, tried: Connection) -> bool:
    """Return whether the rule covers the port. A rule without ports covers all."""
    return not ports or any(
        each.get("protocol", "TCP") == tried.protocol and _is_port(each, tried) for each in ports
    )


def _is_port(rule: Any, tried: Connection) -> bool:
    first = rule.get("port")
    if first is None:
        return True
    if isinstance(first, str):
        named = [each for each in tried.target.ports if each.get("name") == first]
        return any(
            (each["containerPort"], each.get("protocol", "TCP")) == (tried.port, tried.protocol)
            for each in named
        )
    return bool(first <= tried.port <= rule.get("endPort", first))


def _selects(selector: Any, labels: Mapping[str, str]) -> bool:
    """Return whether `labels` meet a selector; an empty one selects everything."""
    wanted = selector.get("matchLabels") or {}
    return bool(wanted.items() <= labels.items()) and all(
        _holds(each, labels) for each in selector.get("matchExpressions") or ()
    )


def _holds(expression: Any, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", ())
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[expression["operator"]]
