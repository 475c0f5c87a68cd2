"""Clients for Node.js, fetched by npm into a cache outside the working tree."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path


def installed(*packages: str) -> Path:
    """Return the folder where Node.js finds `packages`, each with its version, such as `jsforce@3.10.16`.

    Several processes can call this function at once.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "streamer" / "+".join(packages).replace("@", "-")
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _fetch(folder, packages)
    return folder / "node_modules"


def _fetch(folder: Path, packages: Iterable[str]) -> None:
    fresh = Path(tempfile.mkdtemp(prefix="npm-", dir=folder.parent))
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error")
    try:
        subprocess.run(
            ["npm", "install", *quiet, "--prefix", str(fresh), *packages],
            check=True,
            capture_output=True,
            timeout=240,
        )
        fresh.rename(folder)
    except OSError:
        # Another process has installed the packages first.
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
