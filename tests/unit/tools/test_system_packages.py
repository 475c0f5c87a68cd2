"""Installation of the programs that `make test` needs."""

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.waiting import LIMIT_S
from tools import system_packages
from tools.go_programs import PROGRAMS
from tools.kubectl import helm, kubectl

Program = Callable[..., Path]

KUSTOMIZE_5 = """echo '{"kustomizeVersion": "v5.0.1"}'"""
JAVA_17 = """echo 'openjdk version "17.0.15" 2025-04-15' >&2"""
JAVA_8 = """echo 'java version "1.8.0_402"' >&2"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Adds a shell script to a machine without other programs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tools.mosquitto._FOLDERS", ())
    monkeypatch.delenv("STREAMER_KAFKA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for built in PROGRAMS:
        built.path.parent.mkdir(parents=True)
        built.path.touch()

    def add(name: str, script: str = "exit 0") -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    add("kubectl", KUSTOMIZE_5)
    for name in ("helm", "curl", "node", "npm", "chromium", "mosquitto", "prometheus", "promtool"):
        add(name)
    for name in ("man", "zsh", "fish", "systemd-analyze", "buildah", "mmdebstrap", "javac"):
        add(name)
    return add


def test_machine_that_has_everything_is_left_alone(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is installed and nothing is said."""
    program("java", JAVA_17)
    program("mvn")
    program("apt-get", "echo touched; exit 1")

    assert system_packages.main() == 0
    assert capsys.readouterr().out == ""


def test_what_is_missing_is_listed_with_the_way_to_get_it(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without apt-get every missing program is named, and the exit status is 1."""
    program("java", JAVA_8)

    assert system_packages.main() == 1
    compiler = "Java 17 or newer with its compiler, which runs Apache Kafka, and consumers in Java"
    assert capsys.readouterr().out.splitlines() == [
        f"missing: {compiler}; in Debian: apt-get install default-jdk-headless",
        "missing: Maven, which fetches Apache Kafka; in Debian: apt-get install maven",
    ]


def test_root_with_apt_installs_only_what_is_missing(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package lists are fetched first; no question is asked."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    program("mvn")
    java, log = tmp_path / "java", tmp_path / "log"
    script = f"""
        echo "$DEBIAN_FRONTEND $*" >> {log}
        case "$*" in *install*)
            printf '#!/bin/sh\necho version \\"17.0.15\\" >&2' > {java}
            /bin/chmod +x {java}
        esac"""
    program("apt-get", script)

    assert system_packages.main() == 0
    update, install = log.read_text().splitlines()
    assert update.endswith("update")
    assert install.startswith("noninteractive")
    assert install.endswith("install --yes --no-install-recommends default-jdk-headless")


def test_failed_installation_ends_in_the_list(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Packages that apt-get could not install are still missing."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    program("apt-get", "exit 100")

    assert system_packages.main() == 1
    assert "missing: Maven" in capsys.readouterr().out


def test_broker_that_runs_already_needs_no_java(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """With STREAMER_KAFKA a machine needs neither Java nor Maven."""
    monkeypatch.setenv("STREAMER_KAFKA", "localhost:9092")

    assert program("unused").exists()
    assert system_packages.main() == 0


@pytest.mark.parametrize(
    ("name", "package", "why"),
    [
        ("curl", "curl", "reads the sandbox over TLS"),
        ("node", "nodejs", "reads the sandbox over TLS"),
        ("mosquitto", "mosquitto", "takes the messages of the plugin mqtt"),
        ("fish", "fish", "completes commands"),
        ("javac", "default-jdk-headless", "runs Apache Kafka, and consumers in Java"),
        ("promtool", "prometheus", "evaluates the alerts and the dashboard's expressions"),
    ],
)
def test_other_side_of_a_test_is_installed_too(
    program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, package: str, why: str
) -> None:
    """No test of it is left out on a fresh machine."""
    program("java", JAVA_17)
    program("mvn")
    (tmp_path / name).unlink()

    assert system_packages.main() == 1
    assert capsys.readouterr().out.endswith(f"which {why}; in Debian: apt-get install {package}\n")


def test_judge_of_manifests_that_cant_be_built_is_listed(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """kube-score is built by Go, which no Debian package has new enough."""
    program("java", JAVA_17)
    program("mvn")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))

    assert system_packages.main() == 1
    assert capsys.readouterr().out == (
        "missing: Go 1.23 or newer, which builds kube-score: install it from go.dev/dl.\n"
    )


def test_old_kubectl_is_passed_over_for_the_cached_one(program: Program, tmp_path: Path) -> None:
    """Debian's kubectl can't render the manifests; a cached one is used."""
    program("kubectl", """echo '{"clientVersion": {"minor": "20"}}'""")
    cached = tmp_path / "cache" / "streamer" / "kubectl-1.35" / "kubectl"
    cached.parent.mkdir(parents=True)
    cached.touch()

    assert kubectl() == cached


def test_cached_helm_is_used_where_none_is_installed(program: Program, tmp_path: Path) -> None:
    """It came with kubectl."""
    (tmp_path / "helm").unlink()
    cached = tmp_path / "cache" / "streamer" / "kubectl-1.35" / "helm"
    cached.parent.mkdir(parents=True)
    cached.touch()

    assert program("unused").exists()
    assert helm() == cached


def test_it_runs_as_a_module(program: Program) -> None:
    """`make test` calls it by its module's name."""
    program("java", JAVA_17)
    program("mvn")

    ran = subprocess.run([sys.executable, "-m", "tools.system_packages"], check=False, timeout=LIMIT_S)
    assert ran.returncode == 0
