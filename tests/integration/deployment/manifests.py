"""The manifests, as kustomize renders them, and the schemas that they keep."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator
from kubernetes_validate.utils import validate

from tests.waiting import LIMIT_S
from tools.kubectl import kubectl

ROOT = Path(__file__).parents[3]
K8S = ROOT / "k8s"
KUBERNETES = "1.31"
OVERLAYS = tuple(f"overlays/{path.name}" for path in sorted((K8S / "overlays").iterdir()))
FOLDERS = ("base", *OVERLAYS)
"""Everything that can be rendered, relative to `k8s`."""

_SCHEMAS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("custom_resources.yaml").read_text())


class Manifests:
    """Manifests of a `folder` of kustomize, which no test changes."""

    def __init__(self, folder: Path) -> None:
        command = [str(kubectl()), "kustomize", str(folder)]
        self.text = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=LIMIT_S
        ).stdout
        self.all: list[Any] = [*yaml.load_all(self.text, yaml.CSafeLoader)]

    def of_kind(self, kind: str) -> list[Any]:
        """Return those of one kind, in the order in which they are rendered."""
        return [each for each in self.all if each["kind"] == kind]

    def one(self, kind: str, name: str) -> Any:
        """Return the one with this kind and name."""
        [found] = [each for each in self.of_kind(kind) if each["metadata"]["name"] == name]
        return found

    @property
    def deployments(self) -> list[Any]:
        """Return the resources that run Streamer's pods."""
        return self.of_kind("Deployment")

    @property
    def pods(self) -> list[Any]:
        """The pods' templates: labels, annotations and specification."""
        return [each["spec"]["template"] for each in self.deployments]

    @property
    def containers(self) -> list[Any]:
        """The only container of each pod."""
        return [container for pod in self.pods for container in pod["spec"]["containers"]]

    @property
    def configuration(self) -> str:
        """The text of the configuration that the pods are given."""
        [config] = [each for each in self.of_kind("ConfigMap") if "streamer.yaml" in each["data"]]
        return str(config["data"]["streamer.yaml"])


@cache
def rendered(name: str) -> Manifests:
    """Return the manifests of a folder in `k8s`, which is rendered once for all tests."""
    return Manifests(K8S / name)


def check_schema(manifest: Any) -> None:
    """Check one manifest by the schema of its kind. Raises for an unknown key or a wrong value."""
    if manifest["kind"] in _SCHEMAS:
        schema = _SCHEMAS[manifest["kind"]] | {"definitions": _SCHEMAS["definitions"]}
        Draft7Validator(schema).validate(manifest)
    else:
        validate(manifest, KUBERNETES, strict=True)
