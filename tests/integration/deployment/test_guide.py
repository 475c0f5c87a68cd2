"""docs/kubernetes.md names only files, settings and metrics that exist."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.integration.deployment.manifests import FOLDERS, K8S, ROOT, Manifests, check_schema, rendered
from tests.integration.guides.pages import block, page
from tests.integration.snippets.shell import parse

PAGE = page("docs/kubernetes.md")
COMMANDS = re.findall(
    r"^\$ (?:docker compose exec streamer |kubectl exec .* -- )?(streamer .*)$", PAGE, flags=re.MULTILINE
)


@pytest.mark.parametrize("line", COMMANDS)
def test_command_exists_with_its_options(line: str) -> None:
    """Every command that the page shows."""
    parse(shlex.split(line)[1:])


def test_own_overlay_is_rendered_as_it_is_shown(tmp_path: Path) -> None:
    """A reader's folder beside the project, with a configuration of its own."""
    (tmp_path / "streamer").symlink_to(ROOT)
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(block(PAGE, "yaml"))
    (overlay / "streamer.yaml").write_text("org: {login_url: https://own.my.salesforce.com}\n")
    manifests = Manifests(overlay)
    policy = manifests.one("NetworkPolicy", "streamer")["spec"]

    for manifest in manifests.all:
        check_schema(manifest)
    assert "own.my.salesforce.com" in manifests.configuration
    assert {each["image"] for each in manifests.containers} == {"registry.acme.com/streamer:0.1.0"}
    assert {each["metadata"].get("namespace") for each in manifests.all} == {"streamer"}
    assert policy["egress"][-1]["to"] == [{"ipBlock": {"cidr": "10.20.0.0/16"}}]


def test_every_folder_has_a_row() -> None:
    """Also the components, which are rendered with an overlay."""
    folders = {f"k8s/{name}" for name in FOLDERS}
    components = {f"k8s/components/{path.name}" for path in (K8S / "components").iterdir()}
    rows = re.findall(r"^\| `(k8s/[\w/]+)` \|", PAGE, flags=re.MULTILINE)

    assert sorted(rows) == sorted(folders | components)


def test_commands_name_pods_and_services_that_there_are() -> None:
    """In Kubernetes and in Docker Compose."""
    deployments = {each["metadata"]["name"] for folder in FOLDERS for each in rendered(folder).deployments}
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    told = PAGE + (ROOT / "compose.yaml").read_text()
    called = re.findall(r"docker compose (?:logs|exec|run)(?: --\w+)* (\w+)", told)

    assert set(re.findall(r"deploy/([\w-]+)", PAGE)) <= deployments
    assert set(called) == {"streamer", "demo"} <= services.keys()
