"""Builds the image with Buildah, on a base of Debian's packages: `python -m tools.container_image`.

For machines that reach Debian's packages but no registry of images. The base has
Debian's Python instead of `python:3.13-slim`. All steps of the Dockerfile run as
they are, as root and without a daemon or namespaces.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SUITE = "bookworm"
NEEDS = ("buildah", "mmdebstrap")
"""Programs, and the Debian packages with the same names."""

_PACKAGES = "python3,python3-venv,python-is-python3,ca-certificates"
_DEADLINE_S = 1800
_BASE = "localhost/debian-python"
_BASE_LASTS_S = 7 * 86_400
# pip in the build trusts and asks what pip on this machine does.
_SHARED = ("/etc/ssl/certs", "/etc/pip.conf")


class ImageNotBuilt(Exception):
    """The image can't be built on this machine; the message has the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildah:
    """Buildah with its images and containers in `folder`."""

    folder: Path

    def command(self, *arguments: str | Path) -> list[str]:
        """Return the command line of a call."""
        storage = ["--root", self.folder / "storage", "--runroot", self.folder / "run"]
        return list(map(str, ["buildah", *storage, "--storage-driver", "vfs", *arguments]))

    def call(self, *arguments: str | Path) -> str:
        """Return what a call prints. Raises `ImageNotBuilt`."""
        return _output(self.command(*arguments))

    def debian(self) -> str:
        """Return a new container with Debian's Python. Raises `ImageNotBuilt`."""
        if os.geteuid() != 0:
            raise ImageNotBuilt("only root can build the image on this machine: run the command as root")
        container = self.call("from", "scratch").strip()
        self.call("add", "--quiet", container, _base(), "/")
        return container

    def build(self, name: str) -> None:
        """Build the image `name` from the Dockerfile. Raises `ImageNotBuilt`."""
        container = self.debian()
        # Debian's slim images set no more than this.
        self.call("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
        self.call("commit", "--quiet", "--rm", container, _BASE)
        volumes = [f"--volume={path}:{path}:ro" for path in _SHARED if Path(path).exists()]
        # Only Docker's format has the health check.
        options = ["--isolation=chroot", "--network=host", "--format=docker", "--pull-never", *volumes]
        self.call("build", "--quiet", *options, f"--build-arg=PYTHON_IMAGE={_BASE}", f"--tag={name}", ROOT)

    def settings(self, name: str) -> Any:
        """Return the settings of the image `name`, as Docker writes them."""
        return json.loads(self.call("inspect", "--type=image", name))["Docker"]["config"]


@contextmanager
def buildah() -> Iterator[Buildah]:
    """Yield a Buildah whose images are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="streamer-image-") as folder:
        yield Buildah(folder=Path(folder))


def missing() -> list[str]:
    """Return the programs that this machine lacks."""
    return [name for name in NEEDS if shutil.which(name) is None]


def _base() -> Path:
    """Return the archive of the base; a call makes it if there is none, or if it is older than a week."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    archive = cache / "streamer" / f"debian-python-{SUITE}.tar"
    # Debian mends OpenSSL and Python meanwhile.
    if not archive.is_file() or time.time() - archive.stat().st_mtime > _BASE_LASTS_S:
        archive.parent.mkdir(parents=True, exist_ok=True)
        scratch = archive.with_suffix(f".{os.getpid()}.tar")
        options = ["--quiet", "--mode=root", "--variant=minbase", f"--include={_PACKAGES}"]
        _output(["mmdebstrap", *options, SUITE, str(scratch)])
        # A rename makes the complete archive appear at once.
        scratch.replace(archive)
    return archive


def _output(command: Sequence[str]) -> str:
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_DEADLINE_S)
    if ran.returncode != 0:
        raise ImageNotBuilt(f"{' '.join(command[:1])} failed:\n{ran.stderr[-2000:]}")
    return ran.stdout


def main() -> int:
    """Build the image and write it as an archive that Docker and containerd load."""
    if lacking := missing():
        print(f"missing: in Debian, apt-get install {' '.join(lacking)}")
        return 1
    target = Path(sys.argv[1])
    with buildah() as made:
        made.build("streamer")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        made.call("push", "--quiet", "streamer", f"docker-archive:{target}:streamer:latest")
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
