"""Writes the templates of the Helm chart: `python -m tools.packaging.helm_chart`.

A template is the output of kustomize for `k8s/base` or for one of two overlays, with
Helm's values in some places. So the chart and the manifests differ in nothing else.
Only the manifests have comments.
"""

import re
import subprocess
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from tools.kubectl import kubectl

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
CHART = K8S / "helm"
OVERLAYS = {
    "base": K8S / "base",
    "kafka": K8S / "overlays" / "kafka",
    "embedded": K8S / "overlays" / "embedded",
}
"""Folder of each value of `overlay`."""

CONFIGURATIONS = {"base.yaml": "base", "embedded.yaml": "embedded"}
"""Overlay whose configuration is the file of this name in the chart."""

_HEADER = "{{{{- /* Generated from {folder} by tools/packaging/helm_chart.py. */ -}}}}\n"
# A marker stands where a value will stand, while the rest is still YAML.
_TEXTS = {
    "__image__": '{{ include "streamer.image" . | quote }}',
    "__configMap__": '{{ include "streamer.configMap" . }}',
    "__configuration__": '{{ include "streamer.configuration" . | toJson }}',
    "__secretName__": "{{ .Values.secretName | quote }}",
    "__replicas__": "{{ .Values.replicas }}",
    "__ingestReplicas__": "{{ .Values.ingestReplicas }}",
    "__dispatchReplicas__": "{{ .Values.dispatchReplicas }}",
    "__grace__": "{{ .Values.terminationGracePeriodSeconds }}",
    "__size__": "{{ .Values.storage.size | quote }}",
}
_REPLICAS = {"streamer-ingest": "__ingestReplicas__", "streamer-dispatch": "__dispatchReplicas__"}
# The deployments to which k8s/components/states gives a volume.
_KEEP_STATES = frozenset({"streamer", "streamer-dispatch"})
_BLOCK = re.compile(r"^(?P<indent> *)(?P<key>\w+): __block_(?P<value>\w+)__$", re.MULTILINE)
_OPTIONAL = re.compile(r"^(?P<indent> *)__optional_(?P<key>\w+)__: (?P<value>[\w.]+)$", re.MULTILINE)
_INCLUDED = re.compile(r"^(?P<indent> *)- __included_(?P<value>\w+)__$", re.MULTILINE)
_ITEMS = re.compile(r"^(?P<indent> *)- __items_(?P<value>[\w.]+)__$", re.MULTILINE)


def chart() -> Mapping[str, str]:
    """Return the generated files of the chart, by their path in it."""
    rendered = {name: _rendered(folder) for name, folder in OVERLAYS.items()}
    templates = {f"templates/{name}.yaml": _template(name, each) for name, each in rendered.items()}
    files = {f"files/{name}": _configuration(rendered[overlay]) for name, overlay in CONFIGURATIONS.items()}
    return {**templates, **files}


def main() -> None:
    """Write the files."""
    for path, text in chart().items():
        (CHART / path).write_text(text, encoding="utf-8")


def _rendered(folder: Path) -> list[Any]:
    command = [str(kubectl()), "kustomize", str(folder)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    return list(yaml.safe_load_all(text))


def _configuration(manifests: list[Any]) -> str:
    [found] = [each for each in manifests if each["kind"] == "ConfigMap"]
    return str(found["data"]["streamer.yaml"])


def _template(name: str, manifests: list[Any]) -> str:
    marked = deepcopy(manifests)
    for each in marked:
        if (mark := _MARKS.get(each["kind"])) is not None:
            mark(each)
    text = "---\n".join(yaml.safe_dump(each, sort_keys=False, width=10_000) for each in marked)
    if "{{" in text:
        raise ValueError(f"Helm would read {{{{ in a manifest of {OVERLAYS[name]} as a value")
    header = _HEADER.format(folder=OVERLAYS[name].relative_to(ROOT))
    return f'{header}{{{{- if eq .Values.overlay "{name}" }}}}\n{_with_values(text)}{{{{- end }}}}\n'


def _keep(manifest: Any) -> None:
    """Let Helm never delete this object: see docs/kubernetes.md, Helm."""
    manifest["metadata"].setdefault("annotations", {})["helm.sh/resource-policy"] = "keep"


def _mark_config_map(manifest: Any) -> None:
    # Former pods still need a former map, after an eviction or a rollback.
    _keep(manifest)
    manifest["metadata"]["name"] = "__configMap__"
    manifest["data"]["streamer.yaml"] = "__configuration__"


def _mark_deployment(manifest: Any) -> None:
    name, spec = manifest["metadata"]["name"], manifest["spec"]
    pod = spec["template"]["spec"]
    if spec["strategy"]["type"] != "Recreate":
        spec["replicas"] = _REPLICAS.get(name, "__replicas__")
    pod["terminationGracePeriodSeconds"] = "__grace__"
    [container] = pod["containers"]
    container["image"] = "__image__"
    container["resources"] = "__block_resources__"
    for volume in pod["volumes"]:
        if "configMap" in volume:
            volume["configMap"]["name"] = "__configMap__"
        if "secret" in volume:
            volume["secret"]["secretName"] = "__secretName__"
    # The pod of the overlay embedded needs no copies.
    if name in _KEEP_STATES and spec["strategy"]["type"] != "Recreate":
        container["volumeMounts"].append("__included_statesMount__")
        pod["volumes"].append("__included_statesVolume__")
    for key in ("imagePullSecrets", "nodeSelector", "tolerations"):
        pod[f"__optional_{key}__"] = key


def _mark_policy(manifest: Any) -> None:
    manifest["spec"]["egress"].append("__items_networkPolicy.extraEgress__")


def _mark_claim(manifest: Any) -> None:
    # The claim holds the log.
    _keep(manifest)
    manifest["spec"]["resources"]["requests"]["storage"] = "__size__"
    manifest["spec"]["__optional_storageClassName__"] = "storage.className"


_MARKS: Mapping[str, Callable[[Any], None]] = {
    "ConfigMap": _mark_config_map,
    "Deployment": _mark_deployment,
    "NetworkPolicy": _mark_policy,
    "PersistentVolumeClaim": _mark_claim,
}


def _with_values(text: str) -> str:
    for marker, value in _TEXTS.items():
        text = text.replace(marker, value)
    text = _BLOCK.sub(lambda found: _block(found["indent"], found["key"], f".Values.{found['value']}"), text)
    text = _OPTIONAL.sub(
        lambda found: (
            f"{found['indent']}{{{{- with .Values.{found['value']} }}}}\n"
            f"{_block(found['indent'], found['key'], '.')}\n{found['indent']}{{{{- end }}}}"
        ),
        text,
    )
    text = _INCLUDED.sub(
        lambda found: (
            f"{found['indent']}{{{{- with .Values.states.size }}}}\n"
            f'{{{{ include "streamer.{found["value"]}" $ | indent {len(found["indent"])} }}}}\n'
            f"{found['indent']}{{{{- end }}}}"
        ),
        text,
    )
    return _ITEMS.sub(
        lambda found: (
            f"{found['indent']}{{{{- with .Values.{found['value']} }}}}\n"
            f"{{{{ toYaml . | indent {len(found['indent'])} }}}}\n{found['indent']}{{{{- end }}}}"
        ),
        text,
    )


def _block(indent: str, key: str, value: str) -> str:
    return f"{indent}{key}:\n{{{{ toYaml {value} | indent {len(indent) + 2} }}}}"


if __name__ == "__main__":
    main()
