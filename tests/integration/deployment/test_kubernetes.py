"""The manifests, as kustomize renders them."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate.utils import validate

from streamer.app import plan
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.settings import OutboundSettings
from tests.keys import private_key_pem
from tools.kubectl import kubectl

K8S = Path(__file__).parents[3] / "k8s"
KUBERNETES = "1.31"
FOLDERS = ("base", "overlays/embedded")

Manifests = dict[str, Any]


def render(folder: Path) -> list[Any]:
    """Return every manifest of `folder`."""
    command = [str(kubectl()), "kustomize", str(folder)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return [*yaml.safe_load_all(output)]


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request: pytest.FixtureRequest) -> Path:
    """The base, or the overlay for the embedded log."""
    return K8S / str(request.param)


@pytest.fixture(scope="module")
def rendered(folder: Path) -> Manifests:
    """Every manifest of `folder`, by its kind."""
    return {manifest["kind"]: manifest for manifest in render(folder)}


@pytest.fixture
def pod(rendered: Manifests) -> Any:
    """What the deployment runs."""
    return rendered["Deployment"]["spec"]["template"]["spec"]


@pytest.fixture
def container(pod: Any) -> Any:
    """The only container."""
    (container,) = pod["containers"]
    return container


def test_outbound_messages_reach_the_pods_through_an_ingress() -> None:
    """Valid manifests, one port from the ingress to the daemon, and the next pod is tried on 503."""
    manifests = render(K8S / "overlays/outbound")
    for manifest in manifests:
        validate(manifest, KUBERNETES, strict=True)
    found = {(each["kind"], each["metadata"]["name"]): each for each in manifests}
    (container,) = found["Deployment", "streamer"]["spec"]["template"]["spec"]["containers"]
    (service,) = found["Service", "streamer-outbound"]["spec"]["ports"]
    ingress = found["Ingress", "streamer-outbound"]
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    tried = ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-next-upstream"]

    assert {"name": "outbound", "containerPort": service["port"]} in container["ports"]
    assert service["port"] == OutboundSettings.model_fields["port"].default
    assert path["backend"]["service"]["name"] == "streamer-outbound"
    assert "http_503" in tried.split()
    assert any("outbound" in str(rule) for rule in found["NetworkPolicy", "streamer"]["spec"]["ingress"])


def test_every_manifest_is_what_kubernetes_expects(rendered: Manifests) -> None:
    """Kubernetes' own schemas know every key of every manifest."""
    assert {"Deployment", "ConfigMap", "Service", "PodDisruptionBudget", "NetworkPolicy"} <= rendered.keys()
    for manifest in rendered.values():
        validate(manifest, KUBERNETES, strict=True)


def test_example_secret_is_never_applied_and_valid(rendered: Manifests) -> None:
    """The example shows the keys and is no part of what is rendered."""
    example = yaml.safe_load((K8S / "base/secret.example.yaml").read_text())
    validate(example, KUBERNETES, strict=True)

    assert "Secret" not in rendered


def test_pod_has_no_more_rights_than_it_needs(pod: Any, container: Any) -> None:
    """The pod meets the Pod Security Standard `restricted`, and more."""
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 10_000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_selectors_pick_the_pods(rendered: Manifests) -> None:
    """Service, budget, policy and deployment all mean the same pods."""
    labels = rendered["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        rendered["Deployment"]["spec"]["selector"]["matchLabels"],
        rendered["Service"]["spec"]["selector"],
        rendered["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        rendered["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert selectors == [labels] * 4


def test_probes_ask_what_the_daemon_answers(container: Any) -> None:
    """Liveness and readiness are asked at their own paths."""
    paths = {
        name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")
    }

    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}


def test_configuration_is_valid_and_reads_only_keys_of_the_secret(
    rendered: Manifests, tmp_path: Path
) -> None:
    """Every file that the configuration names is in the example secret, and all else is allowed."""
    secret = yaml.safe_load((K8S / "base/secret.example.yaml").read_text())["stringData"]
    for name, value in secret.items():
        (tmp_path / name).write_text(private_key_pem() if name.endswith(".pem") else value)
    (text,) = rendered["ConfigMap"]["data"].values()
    configuration = tmp_path / "streamer.yaml"
    configuration.write_text(text.replace("/run/secrets/streamer", str(tmp_path)))

    assert plan(load_document([configuration]), SystemClock()).settings.channels


def test_pod_is_given_time_to_drain(rendered: Manifests, pod: Any) -> None:
    """Kubernetes kills no sooner than ten seconds after the daemon cancels by itself."""
    (text,) = rendered["ConfigMap"]["data"].values()

    assert pod["terminationGracePeriodSeconds"] >= yaml.safe_load(text)["grace_period_s"] + 10


def test_port_of_the_configuration_is_the_one_that_is_probed(rendered: Manifests, container: Any) -> None:
    """Container, service and annotations agree with the daemon's default."""
    annotations = rendered["Deployment"]["spec"]["template"]["metadata"]["annotations"]

    assert container["ports"] == [{"name": "metrics", "containerPort": 9464}]
    assert annotations["prometheus.io/port"] == "9464"
    assert rendered["Service"]["spec"]["ports"][0]["port"] == 9464


@pytest.mark.parametrize("folder", ["overlays/embedded"], indirect=True)
def test_embedded_log_has_one_owner_and_a_volume(rendered: Manifests, pod: Any, container: Any) -> None:
    """The old process is gone before the new one opens the file, which outlives both."""
    deployment = rendered["Deployment"]["spec"]
    (text,) = rendered["ConfigMap"]["data"].values()
    file = Path(yaml.safe_load(text)["log"]["sqlite"]["path"])

    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert claims[mounts[str(file.parent)]] == rendered["PersistentVolumeClaim"]["metadata"]["name"]
