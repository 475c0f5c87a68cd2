"""All manifests, as kustomize renders them."""

import json
import re
import subprocess
from collections.abc import Mapping
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError

from streamer.app.plan import plan
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.settings import ObserveSettings
from tests.integration.deployment.manifests import FOLDERS, K8S, KUBERNETES, Manifests, check_schema, rendered
from tests.integration.snippets.shell import parse
from tests.keys import private_key_pem
from tools.go_programs import KUBE_SCORE

NAME = {"app.kubernetes.io/name": "streamer"}
IGNORED = "kube-score/ignore"
REASON = "streamer.io/why-not-"
OPTIONAL = ("container-seccomp-profile", "container-ports-check")


@pytest.fixture(params=FOLDERS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """The manifests of the base, or of an overlay."""
    return rendered(str(request.param))


@pytest.fixture
def embedded() -> Manifests:
    """The overlay for the log in SQLite."""
    return rendered("overlays/embedded")


def test_every_manifest_is_what_its_operator_expects(manifests: Manifests) -> None:
    """The schemas of Kubernetes and of the custom resources know every key of every manifest."""
    kinds = {each["kind"] for each in manifests.all}

    assert {"Deployment", "ConfigMap", "Service", "PodDisruptionBudget", "NetworkPolicy"} <= kinds
    for manifest in manifests.all:
        check_schema(manifest)


def test_misspelt_key_of_a_custom_resource_is_seen() -> None:
    """A schema that allowed everything would prove nothing."""
    autoscaled = rendered("overlays/autoscaled")
    scaled = deepcopy(autoscaled.one("ScaledObject", "streamer-dispatch"))
    trigger = next(each for each in scaled["spec"]["triggers"] if each["type"] == "kafka")
    trigger["metadata"]["excludePersistantLag"] = trigger["metadata"].pop("excludePersistentLag")
    monitor = deepcopy(autoscaled.one("PodMonitor", "streamer"))
    monitor["spec"]["podMetricsEndpoints"][0]["intervall"] = "15s"

    for manifest in (scaled, monitor):
        with pytest.raises(ValidationError):
            check_schema(manifest)


@pytest.mark.parametrize("path", sorted(K8S.rglob("secret.example.yaml")), ids=lambda path: path.parent.name)
def test_example_secret_is_valid(path: Path) -> None:
    """It shows the keys."""
    check_schema(yaml.safe_load(path.read_text()))


def test_example_secrets_are_never_applied(manifests: Manifests) -> None:
    """The rendered manifests do not contain them."""
    assert manifests.of_kind("Secret") == []


def judged(manifests: Manifests, *options: str) -> dict[str, set[str]]:
    """Return the checks of kube-score that find something, by the manifest that they find it in."""
    enabled = [f"--enable-optional-test={each}" for each in OPTIONAL]
    command = [
        str(KUBE_SCORE.installed()),
        "score",
        f"--kubernetes-version=v{KUBERNETES}",
        "-o",
        "json",
        *enabled,
        *options,
        "-",
    ]
    # Its exit status says only that something was found.
    ran = subprocess.run(
        command, input=manifests.text, check=False, capture_output=True, text=True, timeout=60
    )
    return {
        judged["object_meta"]["name"]: found
        for judged in json.loads(ran.stdout)
        if (
            found := {
                check["check"]["id"]
                for check in judged["checks"]
                if check["grade"] < 10 and not check["skipped"]
            }
        )
    }


def test_kube_score_finds_only_what_an_annotation_explains(manifests: Manifests) -> None:
    """Each check that is left out would find something, and has its reason beside it."""
    explained = {
        each["metadata"]["name"]: reasons
        for each in manifests.all
        if (reasons := _reasons(each["metadata"].get("annotations", {})))
    }

    assert judged(manifests) == {}
    assert judged(manifests, "--disable-ignore-checks-annotations") == explained


def _reasons(annotations: Mapping[str, str]) -> set[str]:
    """Return the checks that are left out, each with its reason."""
    ignored = {each.strip() for each in annotations.get(IGNORED, "").split(",")} - {""}
    reasons = {key.removeprefix(REASON): text for key, text in annotations.items() if key.startswith(REASON)}
    assert set(reasons) == ignored
    assert all(len(text.split()) > 5 for text in reasons.values())
    return ignored


def test_pods_have_no_more_rights_than_they_need(manifests: Manifests) -> None:
    """They meet the Pod Security Standard `restricted`, and more."""
    for pod in manifests.pods:
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 10_000
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in manifests.containers:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_pods_are_bounded(manifests: Manifests) -> None:
    """Memory and storage have limits, and nothing throttles the processor."""
    for container in manifests.containers:
        resources = container["resources"]
        assert resources["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}
        assert resources["limits"].keys() == {"memory", "ephemeral-storage"}


def test_pods_run_commands_that_there_are(manifests: Manifests) -> None:
    """The command line takes each pod's arguments, and the image has this version."""
    for container in manifests.containers:
        parse(container["args"])
        # A digest can stand behind the version.
        image, _, digest = container["image"].partition("@sha256:")
        assert image == f"streamer:{version('streamer-salesforce')}"
        assert re.fullmatch("([0-9a-f]{64})?", digest)


def test_every_pod_is_found_by_its_labels(manifests: Manifests) -> None:
    """Services and policies mean all pods; each deployment has one budget, and spreads its own pods."""
    budgets = [each["spec"]["selector"]["matchLabels"] for each in manifests.of_kind("PodDisruptionBudget")]
    services = [each["spec"]["selector"] for each in manifests.of_kind("Service")]
    policies = [each["spec"]["podSelector"]["matchLabels"] for each in manifests.of_kind("NetworkPolicy")]

    assert services + policies == [NAME] * len(services + policies)
    for deployment in manifests.deployments:
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        spread = deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
        assert deployment["spec"]["selector"]["matchLabels"] == labels
        assert [each for each in budgets if each.items() <= labels.items()] == [labels]
        assert [each["labelSelector"]["matchLabels"] for each in spread] == [labels] * len(spread)
        assert len(spread) == (0 if manifests.of_kind("PersistentVolumeClaim") else 2)


def test_pods_are_given_what_they_name(manifests: Manifests) -> None:
    """Configuration, service account and volumes exist under the names that the pods use."""
    there = {(each["kind"], each["metadata"]["name"]) for each in manifests.all}
    for pod in manifests.pods:
        spec = pod["spec"]
        named = {each["name"]: each for each in spec["volumes"]}
        [container] = spec["containers"]
        assert {each["name"] for each in container["volumeMounts"]} == named.keys()
        assert ("ConfigMap", named["config"]["configMap"]["name"]) in there
        assert ("ServiceAccount", spec["serviceAccountName"]) in there
        assert named["secrets"]["secret"]["secretName"] == "streamer"


def test_probes_ask_what_the_daemon_answers(manifests: Manifests) -> None:
    """Liveness and readiness are asked at their own paths, at the port that the daemon takes by default."""
    port = ObserveSettings.model_fields["port"].default
    for container in manifests.containers:
        asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
        assert {name: each["path"] for name, each in asked.items()} == {
            "startup": "/healthz",
            "liveness": "/healthz",
            "readiness": "/readyz",
        }
        assert {each["port"] for each in asked.values()} == {"metrics"}
        assert {"name": "metrics", "containerPort": port} in container["ports"]
    [metrics] = manifests.one("Service", "streamer-metrics")["spec"]["ports"]
    assert metrics["port"] == port
    annotations = [pod["metadata"].get("annotations", {}) for pod in manifests.pods]
    assert {each.get("prometheus.io/port", str(port)) for each in annotations} == {str(port)}


def test_configuration_is_valid_and_reads_only_keys_of_the_secret(
    manifests: Manifests, tmp_path: Path
) -> None:
    """Every file that the configuration names is in the example secret, and all else is allowed."""
    secret = yaml.safe_load((K8S / "base/secret.example.yaml").read_text())["stringData"]
    for name, value in secret.items():
        (tmp_path / name).write_text(private_key_pem() if name.endswith(".pem") else value)
    configuration = tmp_path / "streamer.yaml"
    configuration.write_text(manifests.configuration.replace("/run/secrets/streamer", str(tmp_path)))

    assert plan(load_document([configuration]), SystemClock()).settings.channels


def test_pods_are_given_time_to_drain(manifests: Manifests) -> None:
    """Kubernetes kills no sooner than ten seconds after the daemon cancels by itself."""
    drain_s = yaml.safe_load(manifests.configuration)["grace_period_s"]

    assert all(pod["spec"]["terminationGracePeriodSeconds"] >= drain_s + 10 for pod in manifests.pods)


def test_slow_node_has_five_minutes_for_a_start(manifests: Manifests) -> None:
    """Loading the code takes a minute there, and Kubernetes must not kill the pod meanwhile."""
    for container in manifests.containers:
        probe = container["startupProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] >= 300


def test_embedded_log_has_one_owner_and_a_volume(embedded: Manifests) -> None:
    """The old process is gone before the new one opens the file, which outlives both."""
    [deployment] = embedded.deployments
    [container] = embedded.containers
    file = Path(yaml.safe_load(embedded.configuration)["log"]["sqlite"]["path"])
    volumes: dict[str, Any] = {
        each["name"]: each for each in deployment["spec"]["template"]["spec"]["volumes"]
    }
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    claim = volumes[mounts[str(file.parent)]]["persistentVolumeClaim"]["claimName"]

    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    assert embedded.one("PersistentVolumeClaim", claim)


def test_two_pods_or_more_serve_each_side_of_kafkas_log() -> None:
    """Ingest and dispatch have deployments of their own, and both have the same configuration."""
    manifests = rendered("overlays/kafka")
    deployments = {each["metadata"]["name"]: each["spec"] for each in manifests.deployments}
    configs = {
        volume["configMap"]["name"]
        for pod in manifests.pods
        for volume in pod["spec"]["volumes"]
        if "configMap" in volume
    }

    assert deployments.keys() == {"streamer-ingest", "streamer-dispatch"}
    for name, spec in deployments.items():
        [container] = spec["template"]["spec"]["containers"]
        assert spec["replicas"] == 2
        assert container["args"][:3] == ["run", "--role", name.removeprefix("streamer-")]
        assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert len(configs) == 1
