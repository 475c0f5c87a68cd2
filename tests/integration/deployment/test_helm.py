"""The Helm chart renders what kustomize renders, and values change what they name."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.deployment.manifests import K8S, Manifests, check_schema
from tests.waiting import LIMIT_S
from tools.kubectl import helm
from tools.packaging.helm_chart import CHART, OVERLAYS, chart

DIGEST = "sha256:" + "0123456789abcdef" * 4


def called(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Call Helm."""
    return subprocess.run([helm(), *arguments], check=False, capture_output=True, text=True, timeout=LIMIT_S)


def released(*arguments: str) -> list[Any]:
    """Return the manifests of a release with some values."""
    ran = called("template", "streamer", CHART, *arguments)
    assert ran.returncode == 0, ran.stderr
    return [each for each in yaml.safe_load_all(ran.stdout) if each]


def with_values(values: Any, folder: Path, *more: str) -> list[Any]:
    """Return the manifests of a release with `values` in a file."""
    file = folder / "values.yaml"
    file.write_text(json.dumps(values))
    return released("--values", str(file), *more)


KEPT = {"helm.sh/resource-policy": "keep"}


def by_name(manifests: Iterable[Any]) -> dict[tuple[str, str], Any]:
    """Return manifests by kind and name, without Helm's annotation and without a ConfigMap's hash."""
    text = re.sub(r"\bstreamer-[0-9a-z]{10}\b", "streamer-HASH", json.dumps(list(manifests)))
    found = json.loads(text)
    for each in found:
        if each["metadata"].get("annotations") == KEPT:
            del each["metadata"]["annotations"]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def test_log_and_configurations_outlive_a_release() -> None:
    """An uninstalled release, or another overlay, would delete all events that wait."""
    release = {each["kind"]: each["metadata"] for each in released("--set", "overlay=embedded")}

    assert release["PersistentVolumeClaim"]["annotations"] == KEPT
    assert release["ConfigMap"]["annotations"] == KEPT
    assert not KEPT.items() <= release["Deployment"]["annotations"].items()


def pods(manifests: Iterable[Any]) -> list[Any]:
    """Return the specification of each deployment's pods."""
    return [each["spec"]["template"]["spec"] for each in manifests if each["kind"] == "Deployment"]


STATES = K8S / "components" / "states"


def path(folder: Path, seen_from: Path) -> str:
    """Return a path that kustomize accepts."""
    return os.path.relpath(folder, seen_from)


def named_pods(manifests: Iterable[Any]) -> list[tuple[str, Any]]:
    """Return the name of each deployment, and the specification of its pods."""
    found = [each for each in manifests if each["kind"] == "Deployment"]
    return [(each["metadata"]["name"], each["spec"]["template"]["spec"]) for each in found]


def volumes(pod: Any) -> dict[str, Any]:
    """Return the volumes that the pod's container mounts, by name."""
    mounted = {each["name"] for each in pod["containers"][0]["volumeMounts"]}
    return {each["name"]: each for each in pod["volumes"] if each["name"] in mounted}


def test_chart_is_up_to_date() -> None:
    """`make reference` writes it again."""
    assert {path: (CHART / path).read_text(encoding="utf-8") for path in chart()} == chart()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_release_equals_the_folder_of_kustomize(overlay: str) -> None:
    """Nothing is missing, added or different; only the hash in the ConfigMap's name is another one."""
    release = by_name(released("--set", f"overlay={overlay}"))

    assert ("ConfigMap", "streamer-HASH") in release
    assert release == by_name(Manifests(OVERLAYS[overlay]).all)


def test_release_without_values_equals_the_base() -> None:
    """The first release needs no values."""
    assert by_name(released()) == by_name(Manifests(OVERLAYS["base"]).all)


def test_packaged_chart_renders_the_same(tmp_path: Path) -> None:
    """The archive has every file of the folder that a release needs."""
    ran = called("package", CHART, "--destination", tmp_path)
    assert ran.returncode == 0, ran.stderr
    [archive] = tmp_path.iterdir()
    rendered = called("template", "streamer", archive, "--set", "overlay=embedded")

    assert archive.name == f"streamer-{version('streamer-salesforce')}.tgz"
    assert [each for each in yaml.safe_load_all(rendered.stdout) if each] == released(
        "--set", "overlay=embedded"
    )


# A release without a cluster shows no notes in Helm 3. `tpl` renders them like a template.
NOTES = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: notes}
data:
  text: {{ tpl (.Files.Get "files/NOTES.txt") . | toJson }}
"""


@pytest.mark.parametrize(("configuration", "hints"), [("", 1), ("org: {}", 0)])
def test_notes_say_what_a_person_does_next(configuration: str, hints: int, tmp_path: Path) -> None:
    """They give the command for the release's own namespace and Secret."""
    copy = shutil.copytree(CHART, tmp_path / "chart")
    (copy / "templates" / "NOTES.txt").rename(copy / "files" / "NOTES.txt")
    (copy / "templates" / "notes.yaml").write_text(NOTES)
    values = ["--namespace=bus", "--set=secretName=vault", f"--set-string=configuration={configuration}"]
    ran = called("template", "streamer", copy, "--show-only", "templates/notes.yaml", *values)

    assert ran.returncode == 0, ran.stderr
    text = yaml.safe_load(ran.stdout)["data"]["text"]
    assert "kubectl --namespace bus create secret generic vault --from-file=" in text
    assert text.count("The pods have an example as their configuration.") == hints


def test_helm_finds_nothing_to_improve() -> None:
    """In the strict mode, in which a warning is an error."""
    ran = called("lint", "--strict", CHART)

    assert ran.returncode == 0, ran.stdout
    assert "[WARNING]" not in ran.stdout


def test_versions_are_those_of_the_manifests() -> None:
    """The image's tag comes from there."""
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    [image] = {
        container["image"] for pod in pods(Manifests(OVERLAYS["base"]).all) for container in pod["containers"]
    }

    assert {about["version"], about["appVersion"]} == {image.partition(":")[2]}


def test_image_can_be_another_one(tmp_path: Path) -> None:
    """By its repository, tag and digest."""
    image = {"repository": "registry.acme.com/streamer", "tag": "1.2.3", "digest": DIGEST}
    release = with_values({"image": image, "imagePullSecrets": [{"name": "pull"}]}, tmp_path)

    [pod] = pods(release)
    assert pod["containers"][0]["image"] == f"registry.acme.com/streamer:1.2.3@{DIGEST}"
    assert pod["imagePullSecrets"] == [{"name": "pull"}]


def test_configuration_comes_from_a_file(tmp_path: Path) -> None:
    """To the last byte; another configuration has another name, which starts a rollout."""
    own = tmp_path / "streamer.yaml"
    own.write_text(
        '# <own> & "quoted"\norg: {login_url: "https://own.my.salesforce.com"}\ntext: "{{ subject }}"\n'
    )
    release = released("--set-file", f"configuration={own}")

    [config] = [each for each in release if each["kind"] == "ConfigMap"]
    [former] = [each for each in released() if each["kind"] == "ConfigMap"]
    assert config["data"] == {"streamer.yaml": own.read_text()}
    assert config["metadata"]["name"] != former["metadata"]["name"]
    assert config["metadata"]["name"] in json.dumps(pods(release))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_as_the_values_say(overlay: str, tmp_path: Path) -> None:
    """Their number, secret, resources, time to stop, and nodes."""
    values = {
        "overlay": overlay,
        "replicas": 3,
        "ingestReplicas": 4,
        "dispatchReplicas": 5,
        "secretName": "vault",
        "resources": {"limits": {"memory": "1Gi"}},
        "terminationGracePeriodSeconds": 90,
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    }
    release = with_values(values, tmp_path)

    numbers = {each["spec"]["replicas"] for each in release if each["kind"] == "Deployment"}
    assert numbers == {"base": {3}, "kafka": {4, 5}, "embedded": {1}}[overlay]
    for pod in pods(release):
        assert [each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each] == ["vault"]
        # Helm merges a map with the default one.
        assert pod["containers"][0]["resources"]["limits"]["memory"] == "1Gi"
        assert pod["terminationGracePeriodSeconds"] == 90
        assert (pod["nodeSelector"], pod["tolerations"]) == (values["nodeSelector"], values["tolerations"])
    for manifest in release:
        check_schema(manifest)


def test_volume_and_policy_are_as_the_values_say(tmp_path: Path) -> None:
    """A class and a size of the volume, and a rule behind the others."""
    rule = {"to": [{"ipBlock": {"cidr": "10.20.0.0/16"}}], "ports": [{"protocol": "TCP", "port": 443}]}
    values = {
        "overlay": "embedded",
        "storage": {"size": "40Gi", "className": "fast"},
        "networkPolicy": {"extraEgress": [rule]},
    }
    release = by_name(with_values(values, tmp_path))
    plain = by_name(released("--set", "overlay=embedded"))

    claim = release["PersistentVolumeClaim", "streamer-log"]["spec"]
    assert (claim["storageClassName"], claim["resources"]["requests"]["storage"]) == ("fast", "40Gi")
    expected = deepcopy(plain["NetworkPolicy", "streamer"])
    expected["spec"]["egress"].append(rule)
    assert release["NetworkPolicy", "streamer"] == expected


@pytest.mark.parametrize("overlay", ["base", "kafka"])
def test_pods_that_keep_states_get_a_volume(overlay: str, tmp_path: Path) -> None:
    """It equals the one of the component; only the class is Helm's own."""
    folder = tmp_path / "with-states"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(
        json.dumps({"resources": [path(OVERLAYS[overlay], folder)], "components": [path(STATES, folder)]})
    )
    values = {"overlay": overlay, "states": {"size": "10Gi"}}

    expected = Manifests(folder)
    assert by_name(with_values(values, tmp_path)) == by_name(expected.all)
    assert [name for name, pod in named_pods(expected.all) if "states" in volumes(pod)] == [
        {"base": "streamer", "kafka": "streamer-dispatch"}[overlay]
    ]
    classed = with_values(values | {"states": {"size": "1Gi", "className": "fast"}}, tmp_path)
    [claim] = [volumes(pod)["states"] for _, pod in named_pods(classed) if "states" in volumes(pod)]
    assert claim["ephemeral"]["volumeClaimTemplate"]["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "fast",
    }
    for manifest in (*expected.all, *classed):
        check_schema(manifest)


@pytest.mark.parametrize(
    ("mistake", "word"),
    [
        ("replica=3", "replica"),
        ("overlay=embeded", "overlay"),
        ("image.tags=1", "tags"),
        ("replicas=none", "replicas"),
    ],
)
def test_misspelt_value_is_refused(mistake: str, word: str) -> None:
    """Helm would ignore it silently without the chart's schema. The message names the value."""
    ran = called("template", "streamer", CHART, "--set", mistake)

    assert ran.returncode != 0
    _, _, reason = ran.stderr.partition("values don't meet the specifications")
    assert re.search(rf"\b{word}\b", reason)


def test_every_value_is_in_the_schema() -> None:
    """And every key of the schema has its default, with a comment, in values.yaml."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    known = json.loads((CHART / "values.schema.json").read_text())["properties"]

    assert values.keys() == known.keys() - {"global"}
    for name, schema in known.items():
        if "properties" in schema:
            assert values[name].keys() == schema["properties"].keys()
