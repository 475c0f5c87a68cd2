"""Programs that check shipped files, each built from its Go module into a cache.

`python -m tools.go_programs COMMAND` runs a command with Helm 3 as its `helm`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_BUILD_DEADLINE_S = 900


class GoProgramMissing(Exception):
    """A program can't be built; the message names the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoProgram:
    """Program that `go install` builds from `package` at `version`. `minutes` is the build time."""

    name: str
    package: str
    version: str
    minutes: int

    @property
    def path(self) -> Path:
        """Path of the built program."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "streamer" / f"{self.name}-{self.version}" / self.package.rpartition("/")[2]

    def installed(self) -> Path:
        """Return the program's path; the first call builds the program.

        Several processes can call this method at once. Raises `GoProgramMissing`.
        """
        if not self.path.is_file():
            self._build()
        return self.path

    def _build(self) -> None:
        if shutil.which("go") is None:
            raise GoProgramMissing(f"Go 1.23 or newer, which builds {self.name}: install it from go.dev/dl.")
        folder = self.path.parent
        print(f"building {self.name} {self.version} into {folder}: {self.minutes} min, once", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="building-") as scratch:
            built = subprocess.run(
                ["go", "install", f"{self.package}@v{self.version}"],
                env={**os.environ, "GOBIN": scratch},
                check=False,
                capture_output=True,
                text=True,
                timeout=_BUILD_DEADLINE_S,
            )
            if built.returncode != 0:
                raise GoProgramMissing(f"{self.name}, which Go did not build:\n{built.stderr[-1000:]}")
            # A rename makes the complete program appear at once.
            (Path(scratch) / self.path.name).replace(self.path)


KUBE_SCORE = GoProgram(
    name="kube-score", package="github.com/zegl/kube-score/cmd/kube-score", version="1.20.0", minutes=3
)
"""Checks Kubernetes manifests."""

COMPOSE_SPEC = GoProgram(
    name="compose-spec", package="github.com/compose-spec/compose-go/v2/cmd", version="2.16.2", minutes=1
)
"""Reads files like Docker Compose itself, and prints the whole model."""

PROGRAMS = (KUBE_SCORE, COMPOSE_SPEC)
"""Programs that `make test` needs."""

HELM_3 = GoProgram(name="helm", package="helm.sh/helm/v3/cmd/helm", version="3.17.4", minutes=5)
"""Renders the chart as clusters with Helm 3 do; `tools.kubectl` fetches Helm 4."""


def main() -> None:
    """Run the command line's program; it finds Helm 3 before all other Helms."""
    try:
        folder = HELM_3.installed().parent
    except GoProgramMissing as missing:
        sys.exit(f"missing: {missing}")
    path = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
    sys.exit(subprocess.run(sys.argv[1:], env={**os.environ, "PATH": path}, check=False).returncode)


if __name__ == "__main__":
    main()
