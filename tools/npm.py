"""Clients for Node.js, fetched by npm into a cache outside the working tree."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def installed(package: str, version: str) -> Path:
    """Return the folder in which Node.js finds a package; several processes can ask for it at once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "streamer" / f"{package}-{version}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _fetch(folder, f"{package}@{version}")
    return folder / "node_modules"


def _fetch(folder: Path, wanted: str) -> None:
    fresh = Path(tempfile.mkdtemp(prefix="npm-", dir=folder.parent))
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error")
    try:
        subprocess.run(
            ["npm", "install", *quiet, "--prefix", str(fresh), wanted],
            check=True,
            capture_output=True,
            timeout=240,
        )
        fresh.rename(folder)
    except OSError:
        # Another process was quicker.
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
