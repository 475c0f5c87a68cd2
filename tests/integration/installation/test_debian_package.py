"""The Debian package, as `make deb` builds it: its content, and its life in a bare Debian."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.configuration import sandbox_configuration
from tests.integration.guides.test_example import ENVIRONMENT
from tests.integration.installation.test_systemd_unit import UNIT, analyzed
from tests.waiting import LIMIT_S
from tools.container_image import Buildah, buildah

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[3]
PRESENT = version("streamer-salesforce")
NAME = f"streamer-salesforce_{PRESENT}_amd64.deb"
LIBRARY = "/usr/lib/streamer-salesforce"
CONFIGURATION = sandbox_configuration("http://localhost:1", log={"sqlite": {}})
BUILT_AT = "1764547200"
NOTES = re.compile(r"/(var/lib/dpkg|var/log|var/cache|proc|sys|dev|run|tmp)(/|$)")
ENABLED = "etc/systemd/system/multi-user.target.wants/streamer.service"
RELOAD = "--system daemon-reload"
SYSTEMCTL = f"""\
#!/bin/sh
echo "$*" >> /var/log/systemctl
if [ "$2" = is-enabled ] && [ -L /{ENABLED} ]; then echo enabled; fi
"""
"""Stands for systemd: writes down each request, and starts nothing."""


def made(sources: Path, folder: Path, **environ: str) -> Path:
    """Return the package that the recipe of `make deb` builds of `sources`."""
    programs = Path(sys.executable).parent
    command = ["make", "deb", "READY=", f"BIN={programs}", f"DIST={folder}", "ARGS=--architecture amd64"]
    environ = {**os.environ, "SOURCE_DATE_EPOCH": BUILT_AT, **environ}
    ran = subprocess.run(
        command, cwd=sources, env=environ, check=False, capture_output=True, text=True, timeout=2 * LIMIT_S
    )
    assert ran.returncode == 0, ran.stderr
    return folder / NAME


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package."""
    return made(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the package, and its scripts in `DEBIAN`."""
    folder = tmp_path_factory.mktemp("unpacked") / "root"
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder], check=True, timeout=LIMIT_S)
    return folder


def test_second_build_elsewhere_is_the_same(package: Path, tmp_path: Path) -> None:
    """Another folder, other times and rights of the files, and another time zone make the same bytes."""
    sources = tmp_path / "sources"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    for path in filter(None, listed):
        if (ROOT / path).is_file():
            (sources / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, sources / path)
            (sources / path).chmod(0o600)

    again = made(sources, tmp_path / "dist", TZ="Pacific/Auckland")

    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(package.read_bytes()).digest()


def test_package_asks_for_the_python_that_its_modules_are_compiled_for(package: Path) -> None:
    """A wheel with C extensions fits one minor version only."""
    said = subprocess.run(["dpkg-deb", "--field", package], check=True, capture_output=True, text=True).stdout
    fields = dict(re.findall(r"^(\S+): (.*)$", said, re.MULTILINE))

    assert (fields["Package"], fields["Version"]) == ("streamer-salesforce", PRESENT)
    assert fields["Architecture"] == "amd64"
    assert {"python3 (>= 3.11)", "python3 (<< 3.12)", "ca-certificates"} <= set(fields["Depends"].split(", "))
    # Debian's package `streamer` records from television cards, with the same command.
    assert fields["Conflicts"] == "streamer"


def test_every_file_is_owned_by_root_and_of_the_build_s_time(package: Path) -> None:
    """Only the secrets are kept from other users."""
    said = subprocess.run(
        ["dpkg-deb", "--contents", package], env={"TZ": "UTC"}, check=True, capture_output=True, text=True
    ).stdout
    rows = [line.split(maxsplit=5) for line in said.splitlines()]

    assert {(owner, day, time) for _, owner, _, day, time, _ in rows} == {
        ("root/root", "2025-12-01", "00:00")
    }
    modes = {mode for mode, *_ in rows}
    assert modes == {"drwxr-xr-x", "drwx------", "-rw-r--r--", "-rwxr-xr-x", "lrwxrwxrwx"}
    assert [path for mode, *_, path in rows if mode == "drwx------"] == ["./etc/streamer/secrets/"]
    assert not [path for *_, path in rows if path.endswith(".pyc") or "__pycache__" in path]


def test_files_are_where_debian_wants_them(unpacked: Path) -> None:
    """The manual, the completion of three shells, the unit, and the texts of the package."""
    files = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if not path.is_dir()}

    assert {
        "usr/bin/streamer",
        "usr/share/man/man1/streamer.1.gz",
        "usr/share/man/man1/streamer-deadletters.1.gz",
        "usr/share/bash-completion/completions/streamer",
        "usr/share/zsh/vendor-completions/_streamer",
        "usr/share/fish/vendor_completions.d/streamer.fish",
        "usr/lib/systemd/system/streamer.service",
        "usr/share/doc/streamer-salesforce/copyright",
        "usr/share/doc/streamer-salesforce/changelog.gz",
        "usr/share/doc/streamer-salesforce/examples/streamer.yaml",
    } <= files
    assert {path.parts[0] for path in map(Path, files)} == {"DEBIAN", "usr"}


def test_systemd_finds_no_mistake_in_the_unit(unpacked: Path, tmp_path: Path) -> None:
    """It is the wheel's unit with another path of the program."""
    text = (unpacked / "usr/lib/systemd/system/streamer.service").read_text()
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("/usr/bin/streamer", sys.executable))

    assert text == UNIT.read_text().replace("/opt/streamer/bin/", "/usr/bin/").replace(
        "an installation in /opt/streamer", "the Debian package"
    )
    assert "\nConditionPathExists=/etc/streamer/streamer.yaml\n" in text
    assert "\nExecStart=/usr/bin/streamer run -c /etc/streamer/streamer.yaml\n" in text
    assert "/opt/" not in text
    ran = analyzed(["verify", "--man=no", "--recursive-errors=no", unit])
    assert (ran.returncode, ran.stderr) == (0, "")


class Machine:
    """A container with Debian's Python, a stub for systemd, and nothing that a build needs."""

    def __init__(self, made: Buildah) -> None:
        self._made = made
        self._container = made.debian()
        self.root = Path(made.call("mount", self._container).strip())
        stub = self.root / "usr/local/bin/systemctl"
        stub.write_text(SYSTEMCTL)
        stub.chmod(0o755)
        # Scripts of packages ask systemd only where this folder is.
        (self.root / "run/systemd/system").mkdir(parents=True)
        # The first call makes /etc/hosts.
        self.run("true")
        self.before = self.files()
        self.asked_at_installation: list[str] = []

    def run(self, *command: str, **environ: str) -> str:
        """Return what a program prints in the container."""
        variables = [f"--env={name}={value}" for name, value in environ.items()]
        options = ["--isolation=chroot", "--network=host", *variables]
        return self._made.call("run", *options, self._container, "--", *command)

    def install(self, package: Path) -> list[str]:
        """Install or upgrade with dpkg, which refuses a package whose dependencies are missing.

        Return the requests to systemd.
        """
        shutil.copy(package, self.root / "tmp" / package.name)
        return self.asked("dpkg", "--install", f"/tmp/{package.name}")

    def asked(self, *command: str) -> list[str]:
        """Run a program in the container, and return its requests to systemd."""
        requests = self.root / "var/log/systemctl"
        requests.unlink(missing_ok=True)
        self.run(*command)
        return requests.read_text().splitlines() if requests.exists() else []

    def compiled(self) -> list[Path]:
        """Return the files with bytecode."""
        return list((self.root / LIBRARY[1:]).rglob("streamer/cli/__pycache__/*.pyc"))

    def files(self) -> set[str]:
        """Return the paths of all files and folders but those in which Debian itself takes notes."""
        paths = (
            f"/{(Path(folder) / name).relative_to(self.root)}"
            for folder, folders, names in os.walk(self.root)
            for name in (*folders, *names)
        )
        return {path for path in paths if not NOTES.match(path)}


@pytest.fixture(scope="module")
def machine(package: Path) -> Iterator[Machine]:
    """A container with the package, which the last test removes."""
    with buildah() as made:
        bare = Machine(made)
        bare.asked_at_installation = bare.install(package)
        yield bare


def test_installation_starts_nothing(machine: Machine) -> None:
    """An administrator starts the service after writing the configuration."""
    assert machine.asked_at_installation == [RELOAD]


def test_command_runs_after_the_installation(machine: Machine) -> None:
    """With every plugin that the example uses, and with bytecode, which only root can write there."""
    example = "/usr/share/doc/streamer-salesforce/examples/streamer.yaml"

    assert machine.run("streamer", "--version") == f"streamer {PRESENT}\n"
    assert "4 subscribers" in machine.run("streamer", "check", "-c", example, **ENVIRONMENT)
    assert machine.compiled()


def test_modules_find_the_libraries_of_the_system(machine: Machine) -> None:
    """Each compiled module loads, with no library beside those that the package asks for."""
    script = """
        import pathlib, sysconfig, importlib
        root = pathlib.Path(sysconfig.get_path("platlib"))
        found = [path.relative_to(root) for path in root.rglob("*.so")]
        for path in found:
            importlib.import_module(".".join([*path.parent.parts, path.name.partition(".")[0]]))
        print(len(found))
    """
    printed = machine.run(f"{LIBRARY}/bin/python3", "-c", "if True:" + script)

    assert int(printed) > 20


def test_plugin_is_found_in_the_folder_of_the_administrator(machine: Machine) -> None:
    """No package of Debian writes there, so that an upgrade keeps the plugin."""
    folder = machine.root / "usr/local/lib/streamer-salesforce"
    (folder / "bell-1.dist-info").mkdir(parents=True)
    (folder / "bell.py").write_text("from subscribers.stdout import Stdout as Bell\n")
    (folder / "bell-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bell\nVersion: 1\n")
    (folder / "bell-1.dist-info" / "entry_points.txt").write_text(
        "[streamer.subscribers]\nbell = bell:Bell\n"
    )
    config = machine.root / "root" / "streamer.yaml"
    config.write_text(json.dumps(CONFIGURATION | {"subscribers": {"ring": {"uses": "bell", "on": "*"}}}))

    checked = machine.run("streamer", "check", "-c", "/root/streamer.yaml")
    shutil.rmtree(folder)
    config.unlink()

    assert "1 subscriber" in checked


@pytest.mark.parametrize(
    ("prepare", "repair", "requests"),
    [
        (["upgrade", "2"], ["abort-upgrade", "2"], [RELOAD, "try-restart streamer.service"]),
        (
            ["deconfigure", "in-favour", "other", "1"],
            ["abort-deconfigure", "in-favour", "other", "1"],
            [RELOAD, "try-restart streamer.service"],
        ),
        (
            ["remove"],
            ["abort-remove"],
            [
                RELOAD,
                "--system is-enabled -- streamer.service",
                "--system --quiet is-active -- streamer.service",
                "--quiet --system start streamer.service",
            ],
        ),
    ],
    ids=["upgrade", "deconfiguration", "removal"],
)
def test_aborted_change_leaves_the_package_ready(
    machine: Machine, prepare: list[str], repair: list[str], requests: list[str]
) -> None:
    """The bytecode is there again, and an enabled daemon that a removal has stopped runs again."""
    scripts = "/var/lib/dpkg/info/streamer-salesforce"
    machine.run(f"{scripts}.prerm", *prepare)
    assert not machine.compiled()
    enabled = machine.root / ENABLED
    enabled.parent.mkdir(parents=True, exist_ok=True)
    enabled.symlink_to("/usr/lib/systemd/system/streamer.service")

    asked = machine.asked(f"{scripts}.postinst", *repair)
    enabled.unlink()

    assert asked == requests
    assert machine.compiled()


def next_version(unpacked: Path, folder: Path) -> Path:
    """Return a package with a higher version, and otherwise the same content."""
    shutil.copytree(unpacked, folder / "next", symlinks=True)
    control = folder / "next" / "DEBIAN" / "control"
    control.write_text(control.read_text().replace(f"\nVersion: {PRESENT}\n", f"\nVersion: {PRESENT}.1\n"))
    options = ["-Znone", "--root-owner-group"]
    target = folder / "next.deb"
    subprocess.run(["dpkg-deb", *options, "--build", folder / "next", target], check=True, timeout=LIMIT_S)
    return target


def test_upgrade_and_removal_keep_the_data_and_a_purge_leaves_nothing(
    unpacked: Path, machine: Machine, tmp_path: Path
) -> None:
    """An upgrade restarts only a running daemon; configuration and waiting events remain until a purge."""
    config = machine.root / "etc/streamer/streamer.yaml"
    config.write_text(json.dumps(CONFIGURATION))
    (machine.root / "etc/streamer/secrets/key").write_text("secret")
    events = machine.root / "var/lib/private/streamer/data/streamer.db"
    events.parent.mkdir(parents=True)
    events.write_text("events")
    enabled = machine.root / ENABLED
    enabled.parent.mkdir(parents=True, exist_ok=True)
    enabled.symlink_to("/usr/lib/systemd/system/streamer.service")

    assert machine.install(next_version(unpacked, tmp_path)) == [RELOAD, "try-restart streamer.service"]
    assert "channels" in machine.run("streamer", "check", "-c", "/etc/streamer/streamer.yaml")
    assert machine.asked("dpkg", "--remove", "streamer-salesforce") == ["stop streamer.service", RELOAD]
    assert (config.exists(), events.read_text()) == (True, "events")
    assert not (machine.root / LIBRARY[1:]).exists()

    machine.run("dpkg", "--purge", "streamer-salesforce")
    # systemd's own folders, which the test made in its place.
    made_here = {"/var/lib/private", "/etc/systemd/system/multi-user.target.wants"}
    assert machine.files() - machine.before - made_here == set()
