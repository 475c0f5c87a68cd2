"""kube-score, which judges manifests of Kubernetes, built from its Go module into a cache."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

VERSION = "1.20.0"
_MODULE = f"github.com/zegl/kube-score/cmd/kube-score@v{VERSION}"
_BUILD_DEADLINE_S = 900


class KubeScoreMissing(Exception):
    """kube-score can't be built: the message names the remedy."""


def kube_score() -> Path:
    """Return the path of kube-score, which is built at the first call: that takes about three minutes.

    Several processes can ask for it at once. Raises `KubeScoreMissing`.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    program = cache / "streamer" / f"kube-score-{VERSION}" / "kube-score"
    if not program.is_file():
        _build(program)
    return program


def _build(program: Path) -> None:
    if shutil.which("go") is None:
        raise KubeScoreMissing("Go 1.23 or newer, which builds kube-score: install it from go.dev/dl.")
    print(f"building kube-score {VERSION} into {program.parent}: about three minutes, once", flush=True)
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent, prefix="building-") as scratch:
        built = subprocess.run(
            ["go", "install", _MODULE],
            env={**os.environ, "GOBIN": scratch},
            check=False,
            capture_output=True,
            text=True,
            timeout=_BUILD_DEADLINE_S,
        )
        if built.returncode != 0:
            raise KubeScoreMissing(f"Go did not build {_MODULE}:\n{built.stderr[-1000:]}")
        # A rename makes it appear whole or not at all.
        (Path(scratch) / program.name).replace(program)
