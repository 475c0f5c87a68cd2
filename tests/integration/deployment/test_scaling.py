"""Monitoring and KEDA: the metrics, and the conditions for more pods."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamer.clock import TurnedClock
from streamer.events import SubscriberName
from streamer.log.kafka.cluster.names import Names
from streamer.observe.metrics import Metrics
from streamer.settings import KafkaLogSettings
from tests.integration.deployment.manifests import K8S, ROOT, Manifests, rendered
from tools.monitoring.operator_rules import files
from tools.monitoring.prometheus import promtool

MINUTES = 30


@pytest.fixture(scope="module")
def autoscaled() -> Manifests:
    """The overlay with everything."""
    return rendered("overlays/autoscaled")


@pytest.fixture(scope="module")
def scaled(autoscaled: Manifests) -> Any:
    """How many pods deliver."""
    return autoscaled.one("ScaledObject", "streamer-dispatch")["spec"]


def trigger(scaled: Any, kind: str) -> Any:
    """Return the only trigger of this kind."""
    [found] = [each for each in scaled["triggers"] if each["type"] == kind]
    return found


def test_rules_for_the_operator_are_those_of_the_file(autoscaled: Manifests) -> None:
    """`make reference` writes them again."""
    rules = yaml.safe_load((ROOT / "config/prometheus/rules.yaml").read_text())

    assert [path.name for path, made in files() if path.read_text(encoding="utf-8") != made] == []
    assert autoscaled.one("PrometheusRule", "streamer")["spec"] == rules


def test_dashboard_of_grafana_is_that_of_the_file(autoscaled: Manifests) -> None:
    """The sidecar finds it by its label; `kubectl apply` copies it into an annotation of 256 KiB at most."""
    dashboard = autoscaled.one("ConfigMap", "streamer-dashboard")

    assert dashboard["data"] == {"streamer.json": (ROOT / "config/grafana/dashboard.json").read_text()}
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert len(dashboard["data"]["streamer.json"]) < 250_000


def test_every_pod_is_scraped_once(autoscaled: Manifests) -> None:
    """By the monitor, under the job that alerts look for, and not by annotations as well."""
    spec = autoscaled.one("PodMonitor", "streamer")["spec"]
    [endpoint] = spec["podMetricsEndpoints"]

    for pod, container in zip(autoscaled.pods, autoscaled.containers, strict=True):
        labels = pod["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()
        assert labels[spec["jobLabel"]] == "streamer"
        assert endpoint["port"] in [each["name"] for each in container["ports"]]
        assert not pod["metadata"].get("annotations")


def test_monitoring_goes_with_the_embedded_log_too(tmp_path: Path) -> None:
    """A component is for every overlay."""
    up = "../" * len(tmp_path.parts)
    (tmp_path / "kustomization.yaml").write_text(
        f"resources: ['{up}{K8S}/overlays/embedded']\ncomponents: ['{up}{K8S}/components/monitoring']\n"
    )
    manifests = Manifests(tmp_path)

    assert manifests.one("PodMonitor", "streamer")
    assert not manifests.pods[0]["metadata"].get("annotations")


def test_only_pods_that_deliver_are_scaled(autoscaled: Manifests, scaled: Any) -> None:
    """Nothing but KEDA sets their number, from two to one for each partition of an event topic."""
    replicas = {each["metadata"]["name"]: each["spec"].get("replicas") for each in autoscaled.deployments}

    assert scaled["scaleTargetRef"]["name"] == "streamer-dispatch"
    assert replicas == {"streamer-dispatch": None, "streamer-ingest": 2}
    assert scaled["minReplicaCount"] == 2
    assert scaled["maxReplicaCount"] == KafkaLogSettings.model_fields["partitions"].default


def test_lag_of_every_subscriber_is_looked_at(autoscaled: Manifests, scaled: Any) -> None:
    """By its consumer group, at the brokers of the configuration, without lag that does not move."""
    configuration = yaml.safe_load(autoscaled.configuration)
    kafka = configuration["log"]["kafka"]
    names = Names.of(KafkaLogSettings.model_validate({"bootstrap_servers": "localhost:9092"}))
    asked = {
        each["metadata"]["consumerGroup"]: each["metadata"]
        for each in scaled["triggers"]
        if each["type"] == "kafka"
    }

    assert asked.keys() == {
        names.dispatch_group(SubscriberName(name)) for name in configuration["subscribers"]
    }
    for metadata in asked.values():
        assert metadata["bootstrapServers"] == kafka["bootstrap_servers"]
        assert metadata["excludePersistentLag"] == "true"
        assert (
            metadata["sasl"].replace("_", "-").upper().replace("SHA", "SHA-")
            == kafka["security"]["mechanism"]
        )


def test_both_witnesses_decide(autoscaled: Manifests, scaled: Any) -> None:
    """The smaller number counts, and KEDA logs in with a user of its own."""
    names = {each["name"] for each in scaled["triggers"]}
    modifiers = scaled["advanced"]["scalingModifiers"]
    login = trigger(scaled, "kafka")["authenticationRef"]["name"]
    secret = yaml.safe_load((K8S / "components/keda/secret.example.yaml").read_text())
    targets = autoscaled.one("TriggerAuthentication", login)["spec"]["secretTargetRef"]

    assert names == set(re.findall(r"[a-z]\w*", modifiers["formula"]))
    assert modifiers["formula"] == "lag < waiting ? lag : waiting"
    assert {each["name"] for each in targets} == {secret["metadata"]["name"]}
    assert {each["key"] for each in targets} == secret["stringData"].keys()


def test_query_asks_for_metrics_that_there_are(scaled: Any) -> None:
    """Each name is one that a process with a subscriber shows."""
    metrics = Metrics(clock=TurnedClock())
    metrics.subscriber(SubscriberName("erp"))
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    shown = {sample.name for family in families for sample in family.samples}
    asked = set(re.findall(r"streamer_\w+", trigger(scaled, "prometheus")["metadata"]["query"]))

    assert len(asked) == 3
    assert asked <= shown


def series(pod: str, subscriber: str, *, lag: str, held: str = "0", down: str = "0") -> list[dict[str, str]]:
    """Return what a pod shows of a subscriber, each minute; a plain number stays as it is."""
    labels = f'{{job="streamer", instance="{pod}", subscriber="{subscriber}"}}'
    values = {"delivery_lag_events": lag, "subscriber_held": held, "breaker_open": down}
    return [
        {"series": f"streamer_{name}{labels}", "values": text if "x" in text else f"{text}x{MINUTES}"}
        for name, text in values.items()
    ]


BACKLOGS = {
    "work of all pods and subscribers": (
        [*series("a", "erp", lag="700"), *series("b", "erp", lag="300"), *series("a", "slack", lag="5")],
        1005,
    ),
    "a target that one pod found to be down": (
        [
            *series("a", "erp", lag="9000", down="1"),
            *series("b", "erp", lag="9000"),
            *series("a", "slack", lag="40"),
        ],
        40,
    ),
    "everything is held": (series("a", "erp", lag="9000", held="1"), 0),
    "a breaker that closes now and then": (series("a", "erp", lag="9000", down="0x20 1 0x8"), 0),
    "a target that has been back for long enough": (series("a", "erp", lag="9000", held="1x15 0x14"), 9000),
    "no pod is scraped": ([], None),
}
"""The pods' metrics for half an hour, and the number of events that KEDA then gets."""


def test_backlog_of_a_target_that_is_down_is_no_work(scaled: Any, tmp_path: Path) -> None:
    """Prometheus itself evaluates the query."""
    metadata = trigger(scaled, "prometheus")["metadata"]
    tests = [
        {
            "name": name,
            "interval": "1m",
            "input_series": shown,
            "promql_expr_test": [
                {
                    "expr": metadata["query"],
                    "eval_time": f"{MINUTES}m",
                    "exp_samples": [] if waiting is None else [{"labels": "{}", "value": waiting}],
                }
            ],
        }
        for name, (shown, waiting) in BACKLOGS.items()
    ]
    path = tmp_path / "tests.yaml"
    path.write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": tests}))
    ran = promtool("test", "rules", str(path))

    assert (ran.returncode, ran.stderr) == (0, "")
    # No number is an error for KEDA, which then leaves the pods as they are.
    assert metadata["ignoreNullValues"] == "false"
