"""jsforce, a Salesforce client for Node.js, fetched by npm into a cache outside the working tree."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

VERSION = "3.10.16"


def jsforce() -> Path:
    """Return the folder in which Node.js finds jsforce; several processes can ask for it at once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "streamer" / f"jsforce-{VERSION}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _fetch(folder)
    return folder / "node_modules"


def _fetch(folder: Path) -> None:
    fresh = Path(tempfile.mkdtemp(prefix="jsforce-", dir=folder.parent))
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error")
    try:
        subprocess.run(
            ["npm", "install", *quiet, "--prefix", str(fresh), f"jsforce@{VERSION}"],
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
