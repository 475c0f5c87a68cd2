"""The path of an outbound message through the rendered Gateway, route and service to the pods."""

from typing import Any

import pytest
import yaml

from streamer.settings import OutboundSettings
from tests.integration.deployment.manifests import Manifests, rendered
from tests.integration.deployment.policies import Connection, Peer, admits

PROXY = Peer(namespace="envoy-gateway-system", labels={"app.kubernetes.io/name": "envoy"})
# No document says how long Salesforce waits; HTTP clients often wait for a minute.
SALESFORCE_WAITS_S = 60


@pytest.fixture
def manifests() -> Manifests:
    """The overlay with an address for outbound messages."""
    return rendered("overlays/outbound")


@pytest.fixture
def rule(manifests: Manifests) -> Any:
    """The only rule of the only route."""
    [route] = manifests.of_kind("HTTPRoute")
    [rule] = route["spec"]["rules"]
    return rule


@pytest.fixture
def outbound(manifests: Manifests) -> OutboundSettings:
    """Settings of the endpoint in the pods' configuration, with a text for each file of a secret."""
    section = yaml.safe_load(manifests.configuration)["outbound"]
    for message in section["messages"].values():
        message["secret"] = "s" * 40
    return OutboundSettings.model_validate(section)


def test_listener_takes_the_route(manifests: Manifests) -> None:
    """The route names a listener of the Gateway in its own namespace, at the listener's host name."""
    [gateway], [route] = manifests.of_kind("Gateway"), manifests.of_kind("HTTPRoute")
    [listener] = gateway["spec"]["listeners"]

    assert route["spec"]["parentRefs"] == [
        {"name": gateway["metadata"]["name"], "sectionName": listener["name"]}
    ]
    assert route["spec"]["hostnames"] == [listener["hostname"]]
    assert listener["allowedRoutes"]["namespaces"] == {"from": "Same"}
    assert (listener["protocol"], listener["tls"]["mode"]) == ("HTTPS", "Terminate")


def test_route_leads_to_the_endpoint_of_every_pod(
    manifests: Manifests, rule: Any, outbound: OutboundSettings
) -> None:
    """Any of them can own the channel. Each listens where the service sends, and lets the proxies in."""
    [backend] = rule["backendRefs"]
    service = manifests.one("Service", backend["name"])["spec"]
    [port] = [each for each in service["ports"] if each["port"] == backend["port"]]

    assert port.get("protocol", "TCP") == "TCP"
    for pod in manifests.pods:
        target = Peer.of(pod)
        found = [each["containerPort"] for each in target.ports if each["name"] == port["targetPort"]]
        assert service["selector"].items() <= target.labels.items()
        assert found == [outbound.port]
        tried = Connection(source=PROXY, target=target, port=outbound.port)
        assert admits(manifests.of_kind("NetworkPolicy"), tried)


def test_route_takes_the_addresses_of_messages(rule: Any, outbound: OutboundSettings) -> None:
    """The channel's path is the beginning of the address, and the gateway ends TLS, as the pods expect."""
    [match] = rule["matches"]

    assert match["path"]["type"] == "PathPrefix"
    assert all(path.startswith(match["path"]["value"]) for path in outbound.paths)
    assert outbound.allow_plaintext
    assert outbound.tls is None


def test_next_pod_is_tried_while_salesforce_waits(rule: Any) -> None:
    """A pod that does not own the channel answers 503, and a slow pod leaves time for another."""
    request_s, one_s = (int(rule["timeouts"][key].removesuffix("s")) for key in ("request", "backendRequest"))

    assert 503 in rule["retry"]["codes"]
    assert rule["retry"]["attempts"] >= 1
    assert one_s < request_s < SALESFORCE_WAITS_S
