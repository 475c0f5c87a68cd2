"""Writes Prometheus's rules as a Kubernetes resource: `python -m tools.monitoring.operator_rules`.

`k8s/components/monitoring/prometheusrule.yaml` is generated from
`config/prometheus/rules.yaml`, because kustomize can't turn an ordinary file into a
Kubernetes resource.
"""

from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config" / "prometheus" / "rules.yaml"
RESOURCE = ROOT / "k8s" / "components" / "monitoring" / "prometheusrule.yaml"

_HEAD = """\
# Made from config/prometheus/rules.yaml by `make reference`: change the rules there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: streamer
  labels:
    app.kubernetes.io/name: streamer
spec:
"""


def files() -> Iterator[tuple[Path, str]]:
    """Yield the path and the text of the generated file."""
    yield RESOURCE, _HEAD + indent(RULES.read_text(encoding="utf-8"), "  ")


def main() -> None:
    """Write the resource."""
    for path, made in files():
        path.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
