"""The services of compose.yaml, as far as a test can check them without a container engine."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamer.app.plan import plan
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.sandbox import Sandbox
from tests.integration.deployment.manifests import ROOT
from tests.integration.snippets.shell import parse
from tests.waiting import LIMIT_S
from tools.go_programs import COMPOSE_SPEC
from tools.kafka.jars import VERSION as KAFKA
from tools.monitoring.prometheus import promtool

FILE = ROOT / "compose.yaml"
OURS = ("sandbox", "streamer", "changes", "demo")

Service = Mapping[str, Any]


def read(path: Path) -> subprocess.CompletedProcess[str]:
    """Read a file as Docker Compose does, into its whole model."""
    command = [str(COMPOSE_SPEC.installed()), "--format", "json", str(path)]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=path.parent, timeout=LIMIT_S
    )


@pytest.fixture(scope="module")
def services() -> Mapping[str, Service]:
    """Every service, by its name."""
    ran = read(FILE)
    assert ran.returncode == 0, ran.stderr
    model: Mapping[str, Any] = json.loads(ran.stdout)
    found: Mapping[str, Service] = model["services"]
    return found


def mounts(service: Service) -> dict[str, Path]:
    """Return the files of the project that a service is given, by where it finds them."""
    return {
        each["target"]: Path(each["source"]) for each in service.get("volumes", []) if each["type"] == "bind"
    }


def configuration() -> Mapping[str, Any]:
    """Return the configuration of the daemon, as it is written."""
    written: Mapping[str, Any] = yaml.safe_load((ROOT / "config/compose/streamer.yaml").read_text())
    return written


def test_unknown_key_is_refused(tmp_path: Path) -> None:
    """The reader knows every key; one that took everything would prove nothing."""
    path = tmp_path / "compose.yaml"
    path.write_text(FILE.read_text().replace("mem_limit", "memory_limit"))

    assert "memory_limit" in read(path).stderr


def test_everything_that_there_is_to_see_is_there(services: Mapping[str, Service]) -> None:
    """The demo starts only when it is asked for."""
    unasked = {name for name, service in services.items() if not service.get("profiles")}

    assert unasked == {"sandbox", "kafka", "streamer", "changes", "prometheus", "grafana"}


def test_images_are_pinned_by_version(services: Mapping[str, Service]) -> None:
    """Ours is built here, Kafka is the one that the tests run on; a digest can stand behind a version."""
    images = {name: service["image"].partition("@sha256:")[0] for name, service in services.items()}

    assert all(re.search(r":v?\d+\.\d+\.\d+$", image) for image in images.values())
    digests = [service["image"].partition("@")[2] for service in services.values()]
    assert all(re.fullmatch(r"(sha256:[0-9a-f]{64})?", digest) for digest in digests)
    assert {images[name] for name in OURS} == {"streamer:0.1.0"}
    assert {services[name]["build"]["context"] for name in OURS} == {str(ROOT)}
    assert images["kafka"] == f"apache/kafka:{KAFKA}"


def test_ports_are_open_to_this_machine_only(services: Mapping[str, Service]) -> None:
    """Nothing that is shown asks who looks."""
    ports = [port for service in services.values() for port in service.get("ports", [])]

    assert len(ports) == len({port["published"] for port in ports}) == 6
    assert all(ip_address(port["host_ip"]).is_loopback for port in ports)
    assert all(str(port["target"]) == port["published"] for port in ports)


def test_services_have_no_more_rights_than_they_need(services: Mapping[str, Service]) -> None:
    """None is root or gains rights; each has bounded memory and logs; only Kafka writes to its root."""
    for service in services.values():
        assert int(service["user"].partition(":")[0]) > 0
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"]
        assert service["logging"]["options"]["max-size"]
    assert [name for name, service in services.items() if not service.get("read_only")] == ["kafka"]


def test_what_stays_up_is_asked_whether_it_is_well(services: Mapping[str, Service]) -> None:
    """And what others wait for; Streamer's image has a check of its own."""
    lasting = {name for name, service in services.items() if service["restart"] != "no"}
    asked = {name for name, service in services.items() if "test" in service.get("healthcheck", {})}
    awaited = {name for service in services.values() for name in service.get("depends_on", {})}
    conditions = {
        each["condition"] for service in services.values() for each in service.get("depends_on", {}).values()
    }

    assert lasting == asked | {"streamer"} >= awaited
    assert conditions == {"service_healthy"}


def test_mounted_files_are_there_and_are_not_written(services: Mapping[str, Service]) -> None:
    """Docker would make a folder of each missing one."""
    for service in services.values():
        assert all(path.is_file() and path.is_relative_to(ROOT) for path in mounts(service).values())
        assert all(each.get("read_only") for each in service.get("volumes", []) if each["type"] == "bind")


@pytest.mark.parametrize("name", ["sandbox", "streamer", "demo"])
def test_command_line_takes_the_commands(services: Mapping[str, Service], name: str) -> None:
    """Each with its options."""
    parse(services[name]["command"])


def test_daemon_takes_its_configuration(services: Mapping[str, Service]) -> None:
    """Everything is allowed that it names, and the stop fits its drain."""
    [(target, path)] = mounts(services["streamer"]).items()
    settings = plan(load_document([path]), SystemClock()).settings
    whole_s = re.fullmatch(r"(\d+)s", services["streamer"]["stop_grace_period"])

    assert services["streamer"]["command"][-1] == target
    assert whole_s
    assert int(whole_s[1]) >= settings.grace_period_s + 10


def test_services_find_each_other(services: Mapping[str, Service]) -> None:
    """Names and ports of the configuration are those that the services listen at."""
    org, kafka = configuration()["org"], configuration()["log"]["kafka"]["bootstrap_servers"]
    listeners = dict(
        each.split("://")
        for each in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    )
    sandbox = services["sandbox"]
    ports = {port["target"] for port in sandbox["ports"]}

    assert kafka == listeners["SERVICES"] == services["demo"]["command"][-1]
    assert listeners["MACHINE"] == "localhost:9092"
    assert (org["login_url"], org["pubsub"]["endpoint"]) == ("http://sandbox:8808", "http://sandbox:7443")
    assert ports == {8808, 7443}
    assert sandbox["command"][sandbox["command"].index("--name") + 1] == "sandbox"


async def test_changes_are_what_the_sandbox_takes(services: Mapping[str, Service]) -> None:
    """A real one takes the request of the service, which it makes at the org's address."""
    service = services["changes"]
    [script] = service["command"]
    address = f"{configuration()['org']['login_url']}/sandbox/changes"
    assert address in script
    assert service["entrypoint"] == ["python", "-c"]

    async with Sandbox(SystemClock()) as sandbox:
        asked = script.replace(address, f"{sandbox.url}/sandbox/changes") + "\nprint(wanted['count'])"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", asked, stdout=PIPE)
        said, _ = await process.communicate()

    assert (process.returncode, int(said)) == (0, 86_400 * 5)


def test_prometheus_takes_its_configuration_with_our_rules(
    services: Mapping[str, Service], tmp_path: Path
) -> None:
    """Its own tool reads both where the service finds them; the daemon is scraped at its port."""
    for target, path in mounts(services["prometheus"]).items():
        shutil.copy(path, tmp_path / Path(target).name)
    checked = promtool("check", "config", "prometheus.yml", folder=tmp_path)
    written = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in written["scrape_configs"]}

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert re.search(r"rules\.yaml\s+SUCCESS: \d+ rules found", checked.stdout)
    assert targets["streamer"] == ["streamer:9464"]


def test_grafana_finds_its_data_and_the_dashboard(services: Mapping[str, Service]) -> None:
    """The data source is Prometheus, and the dashboard lies where its provider looks."""
    found = mounts(services["grafana"])
    provided = {
        Path(target).parent.name: yaml.safe_load(path.read_text())
        for target, path in found.items()
        if "provisioning" in target
    }
    [source] = provided["datasources"]["datasources"]
    [provider] = provided["dashboards"]["providers"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    assert (source["type"], source["url"], source["isDefault"]) == (
        "prometheus",
        "http://prometheus:9090",
        True,
    )
    assert str(Path(home).parent) == provider["options"]["path"]
    assert json.loads(found[home].read_text())["title"] == "Streamer"
