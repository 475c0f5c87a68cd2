"""Builds the Debian package from the wheel in DIST: `python -m tools.packaging.debian DIST`.

docs/decisions/0027 has the layout of the package, and the reasons for it.
"""

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from packaging.version import Version

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "packaging" / "debian"
PYTHON = "3.11"
"""Version of `python3` in Debian 12."""

PLATFORMS = {"amd64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
"""Name of each of Debian's architectures in the tags of wheels."""

_HOME = "usr/lib/streamer-salesforce"
_DOC = "usr/share/doc/streamer-salesforce"
# pip would try to change an installed package by these notes, and some of them differ with each build.
_NOTES_OF_INSTALLERS = ("RECORD", "REQUESTED", "direct_url.json", "uv_cache.json")
_SHARED = {
    "share/bash-completion/completions/streamer": "usr/share/bash-completion/completions/streamer",
    "share/zsh/site-functions/_streamer": "usr/share/zsh/vendor-completions/_streamer",
    "share/fish/vendor_completions.d/streamer.fish": "usr/share/fish/vendor_completions.d/streamer.fish",
}
"""Path of each file of completion, in the wheel and in the package."""

_COMMAND = f"""\
#!/{_HOME}/bin/python3
import sys

from streamer.__main__ import main

sys.exit(main())
"""
_PLUGINS = "/usr/local/lib/streamer-salesforce"
_CONTROL = """\
Package: streamer-salesforce
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {kilobytes}
Depends: python3 (>= {python}), python3 (<< {next_python}), ca-certificates, \
libc6 (>= 2.28), libgcc-s1, libstdc++6
Conflicts: streamer
Section: net
Priority: optional
Description: carries a Salesforce org's events to Kafka and other systems
 Streamer is a daemon. It reads the change events, platform events and
 outbound messages of a Salesforce org, keeps them in a log (Kafka, or
 SQLite), and delivers each event to the subscribers of its configuration.
 It never loses an event silently.
"""
_CHANGELOG = """\
streamer-salesforce ({version}) unstable; urgency=medium

  * Streamer {release}. CHANGELOG.md.gz, beside this file, has its changes.

 -- {maintainer}  {time}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianPackage:
    """Package of one release, for one version of Python and one architecture."""

    release: str
    python: str
    architecture: str
    built_at: int
    maintainer: str

    @property
    def version(self) -> str:
        """Version in Debian's form; a preview is older than its release."""
        release = re.sub(r"(?<=\d)(?=a|b|rc)", "~", str(Version(self.release)))
        # dpkg sorts letters after `~`, so a second one puts 1.0.dev1 before 1.0a1.
        release = release.replace(".dev", "~~dev")
        # Another Python makes other modules, so it is another package.
        return release if self.python == PYTHON else f"{release}+python{self.python}"

    @property
    def file_name(self) -> str:
        """Name of the file of the package."""
        return f"streamer-salesforce_{self.version}_{self.architecture}.deb"

    def control(self, kilobytes: int) -> str:
        """Return the description that dpkg reads."""
        major, minor = self.python.split(".")
        return _CONTROL.format(
            version=self.version,
            architecture=self.architecture,
            maintainer=self.maintainer,
            kilobytes=kilobytes,
            python=self.python,
            next_python=f"{major}.{int(minor) + 1}",
        )

    def changelog(self) -> str:
        """Return the changelog in Debian's form."""
        time = format_datetime(datetime.fromtimestamp(self.built_at, UTC))
        return _CHANGELOG.format(
            version=self.version, release=self.release, maintainer=self.maintainer, time=time
        )


def build(package: DebianPackage, dist: Path) -> Path:
    """Build a package from the wheel in `dist`, and return its path in `dist`."""
    target = dist / package.file_name
    with tempfile.TemporaryDirectory(prefix="streamer-deb-") as scratch:
        installed, root = Path(scratch) / "installed", Path(scratch) / "root"
        _install(package, dist, installed)
        _add_shared(package, installed, root)
        _add_environment(package, installed, root)
        _add_control(package, root)
        _equalise(root, package.built_at)
        # Level 6, dpkg's own, needs nine times as long for a sixth fewer bytes.
        options = ["-Zxz", "-z0", "--root-owner-group"]
        _call("dpkg-deb", *options, "--build", root, target, SOURCE_DATE_EPOCH=str(package.built_at))
    return target


def _install(package: DebianPackage, dist: Path, folder: Path) -> None:
    platform = ["--python-version", package.python, "--python-platform", PLATFORMS[package.architecture]]
    # Links into uv's cache would change the cache.
    options: list[str | Path] = ["--quiet", "--link-mode=copy", "--no-compile", *platform, "--target", folder]
    uv = Path(sys.executable).with_name("uv")
    pins: list[str | Path] = [
        "--require-hashes",
        "--only-binary=:all:",
        "--requirement",
        ROOT / "requirements.txt",
    ]
    _call(uv, "pip", "install", *options, *pins)
    wheel = f"streamer-salesforce=={package.release}"
    _call(uv, "pip", "install", *options, "--no-deps", "--no-index", "--find-links", dist, wheel)


def _add_shared(package: DebianPackage, installed: Path, root: Path) -> None:
    """Add the files beside the code to `root`, where Debian's programs look for them."""
    for source, place in _SHARED.items():
        _write(root / place, (installed / source).read_bytes())
    for page in (installed / "share/man/man1").iterdir():
        _write(root / "usr/share/man/man1" / f"{page.name}.gz", _packed(page.read_bytes()))
    unit = (installed / "lib/systemd/system/streamer.service").read_text(encoding="utf-8")
    unit = unit.replace("/opt/streamer/bin/", "/usr/bin/")
    unit = unit.replace("an installation in /opt/streamer", "the Debian package")
    _write(root / "usr/lib/systemd/system/streamer.service", unit.encode())
    _write(root / _DOC / "copyright", (SCRIPTS / "copyright").read_bytes())
    overrides = (SCRIPTS / "lintian-overrides").read_bytes()
    _write(root / "usr/share/lintian/overrides/streamer-salesforce", overrides)
    _write(root / _DOC / "changelog.gz", _packed(package.changelog().encode()))
    _write(root / _DOC / "CHANGELOG.md.gz", _packed((ROOT / "CHANGELOG.md").read_bytes()))
    _write(root / _DOC / "examples/streamer.yaml", (ROOT / "config/streamer.yaml").read_bytes())
    (root / "etc/streamer/secrets").mkdir(parents=True)
    for added in ("bin", "share", "lib"):
        shutil.rmtree(installed / added)


def _add_environment(package: DebianPackage, installed: Path, root: Path) -> None:
    """Add the modules in `installed` to `root` as a virtual environment on Debian's Python."""
    home, packages = root / _HOME, root / _HOME / f"lib/python{package.python}/site-packages"
    packages.parent.mkdir(parents=True)
    shutil.move(installed, packages)
    for name in _NOTES_OF_INSTALLERS:
        for note in packages.glob(f"*.dist-info/{name}"):
            note.unlink()
    for note in packages.glob("*.dist-info/INSTALLER"):
        note.write_text("dpkg\n", encoding="utf-8")
    (packages / ".lock").unlink(missing_ok=True)
    # A folder in a .pth file is searched after the package's own modules.
    _write(packages / "plugins.pth", f"{_PLUGINS}\n".encode())
    settings = f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {package.python}\n"
    _write(home / "pyvenv.cfg", settings.encode())
    _write(home / "bin/streamer", _COMMAND.encode())
    (home / "bin/python3").symlink_to(f"../../../bin/python{package.python}")
    (root / "usr/bin").mkdir()
    (root / "usr/bin/streamer").symlink_to("../lib/streamer-salesforce/bin/streamer")


def _add_control(package: DebianPackage, root: Path) -> None:
    files = [path for path in _sorted(root) if path.is_file() and not path.is_symlink()]
    kilobytes = sum(-(-path.stat().st_size // 1024) for path in files)
    sums = (f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in files)  # noqa: S324 - dpkg's format
    _write(root / "DEBIAN/md5sums", "".join(sums).encode())
    _write(root / "DEBIAN/control", package.control(kilobytes).encode())
    for name in ("postinst", "prerm", "postrm"):
        _write(root / "DEBIAN" / name, (SCRIPTS / name).read_bytes())


def _equalise(root: Path, built_at: int) -> None:
    """Give all files the same time, and rights that do not depend on the machine."""
    programs = {
        root / _HOME / "bin/streamer",
        *(root / "DEBIAN" / name for name in ("postinst", "prerm", "postrm")),
    }
    for path in (*_sorted(root), root):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path in programs else 0o644)
        os.utime(path, (built_at, built_at), follow_symlinks=False)
    (root / "etc/streamer/secrets").chmod(0o700)


def _sorted(root: Path) -> Iterator[Path]:
    return iter(sorted(root.rglob("*")))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _call(*command: str | Path, **environ: str) -> str:
    return subprocess.run(
        command, env={**os.environ, **environ}, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def main() -> None:
    """Build the package as the command line says, and print its path."""
    parser = argparse.ArgumentParser(prog="make deb", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("dist", type=Path)
    parser.add_argument("--python", default=PYTHON, help=f"version of Debian's python3 ({PYTHON})")
    parser.add_argument("--architecture", choices=PLATFORMS, help="architecture (this machine's)")
    given = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = DebianPackage(
        release=project["version"],
        python=given.python,
        architecture=given.architecture or _call("dpkg", "--print-architecture").strip(),
        built_at=int(os.environ["SOURCE_DATE_EPOCH"]),
        maintainer="{} <{}>".format(
            os.environ.get("DEBFULLNAME", "Streamer"), os.environ.get("DEBEMAIL", "streamer@localhost")
        ),
    )
    print(build(package, given.dist))


if __name__ == "__main__":
    main()
